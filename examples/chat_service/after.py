"""A chat service: `uvicorn before:app`, then POST {"text": "..."} to /chats/7."""

from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel

import farebox

app = FastAPI()
client = AsyncOpenAI()
said: defaultdict[str, list[Any]] = defaultdict(list)


class Message(BaseModel):
    text: str


@app.post("/chats/{chat}")
@farebox.conversation(lambda chat, **_: f"chat-{chat}", feature="chat")
async def answer(chat: str, message: Message) -> dict[str, str | None]:
    said[chat].append({"role": "user", "content": message.text})
    reply = await client.chat.completions.create(model="gpt-4o", messages=said[chat])
    text = reply.choices[0].message.content
    said[chat].append({"role": "assistant", "content": text})
    return {"text": text}
