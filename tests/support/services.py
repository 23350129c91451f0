"""Services of every kind on the real SDKs, and what each asks of the providers' doubles."""

import asyncio
from typing import Final

import anthropic
import openai
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_trace_processors,
)
from google import genai
from google.genai.types import (
    AutomaticFunctionCallingConfig,
    GenerateContentConfig,
    HttpOptions,
)
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from farebox_processor.demo.provider_double import ProviderDouble
from farebox_processor.demo.replies import Reply, Tokens, ToolCall
from support.gemini_double import GeminiDouble

ASKED: Final = [{"role": "user", "content": "What is the weather in Paris?"}]
QUESTION: Final = "What is the weather in Paris?"
OPENAI_TOKENS: Final = Tokens(input=1511, output=347, cache_read=1024, reasoning=192)
ANTHROPIC_TOKENS: Final = Tokens(
    input=6355, output=389, cache_read=4096, cache_write_5m=1536, cache_write_1h=512, reasoning=128
)
TOOL_CALL: Final = Reply(
    tokens=Tokens(input=600, output=40), tool_calls=(ToolCall("weather", {"city": "Paris"}),)
)
TOOL_ANSWER: Final = Reply(text="It is 21 degrees.", tokens=Tokens(input=680, output=25))

# The agents library sends its traces to OpenAI by default.
set_trace_processors([])


def weather(city: str) -> str:
    """Return the weather in a city."""
    return "21 degrees"


def openai_client(double: ProviderDouble) -> openai.OpenAI:
    """Return a client of the double."""
    return openai.OpenAI(api_key="unused", base_url=f"{double.url}/v1", max_retries=0)


def async_openai_client(double: ProviderDouble) -> openai.AsyncOpenAI:
    """Return an asynchronous client of the double."""
    return openai.AsyncOpenAI(api_key="unused", base_url=f"{double.url}/v1", max_retries=0)


def anthropic_client(double: ProviderDouble) -> anthropic.Anthropic:
    """Return a client of the double."""
    return anthropic.Anthropic(api_key="unused", base_url=double.url, max_retries=0)


def openai_chat(double: ProviderDouble) -> None:
    """One chat completion with cached input and reasoning."""
    double.script(Reply(text="21 degrees", tokens=OPENAI_TOKENS))
    with openai_client(double) as client:
        client.chat.completions.create(model="gpt-4o", messages=ASKED)


def openai_responses(double: ProviderDouble) -> None:
    """One response with two searches of the web."""
    double.script(Reply(text="21 degrees", tokens=OPENAI_TOKENS, web_searches=2))
    with openai_client(double) as client:
        client.responses.create(model="gpt-4o", input=QUESTION, tools=[{"type": "web_search"}])


def openai_stream(double: ProviderDouble) -> None:
    """One streamed chat completion that ends with its usage."""
    double.script(Reply(text="21 degrees", tokens=OPENAI_TOKENS))
    with openai_client(double) as client:
        usage = {"include_usage": True}
        for _ in client.chat.completions.create(
            model="gpt-4o", messages=ASKED, stream=True, stream_options=usage
        ):
            pass


def openai_embeddings(double: ProviderDouble) -> None:
    """One request for embeddings."""
    double.script(Reply(tokens=Tokens(input=1200, output=0)))
    with openai_client(double) as client:
        client.embeddings.create(model="text-embedding-3-small", input="twelve hundred tokens")


def openai_tools(double: ProviderDouble) -> None:
    """Two chat completions with a tool between them."""
    double.script(TOOL_CALL, TOOL_ANSWER)
    with openai_client(double) as client:
        for _ in range(2):
            client.chat.completions.create(model="gpt-4o", messages=ASKED)


def anthropic_chat(double: ProviderDouble) -> None:
    """One message with cache reads, and writes of both lifetimes."""
    double.script(Reply(text="21 degrees", tokens=ANTHROPIC_TOKENS))
    with anthropic_client(double) as client:
        client.messages.create(model="claude-sonnet-4-6", max_tokens=999, messages=ASKED)


def anthropic_web_search(double: ProviderDouble) -> None:
    """One message for which the provider searched the web twice."""
    double.script(Reply(text="21 degrees", tokens=ANTHROPIC_TOKENS, web_searches=2))
    with anthropic_client(double) as client:
        client.messages.create(
            model="claude-sonnet-4-6",
            max_tokens=999,
            messages=ASKED,
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )


def anthropic_stream(double: ProviderDouble) -> None:
    """One streamed message with cache reads and writes."""
    double.script(Reply(text="21 degrees", tokens=ANTHROPIC_TOKENS))
    with anthropic_client(double) as client:
        for _ in client.messages.create(
            model="claude-sonnet-4-6", max_tokens=999, messages=ASKED, stream=True
        ):
            pass


def anthropic_stream_helper(double: ProviderDouble) -> None:
    """One message through the SDK's own streaming helper."""
    double.script(Reply(text="21 degrees", tokens=ANTHROPIC_TOKENS))
    with (
        anthropic_client(double) as client,
        client.messages.stream(model="claude-sonnet-4-6", max_tokens=999, messages=ASKED) as stream,
    ):
        stream.get_final_message()


def anthropic_tools(double: ProviderDouble) -> None:
    """Two messages with a tool between them."""
    double.script(TOOL_CALL, TOOL_ANSWER)
    with anthropic_client(double) as client:
        for _ in range(2):
            client.messages.create(model="claude-sonnet-4-6", max_tokens=999, messages=ASKED)


def gemini_functions(double: GeminiDouble) -> None:
    """One call of which the SDK makes three requests by itself, running a function in between."""
    double.answer(703, 180, thoughts=100, cached=0, name="weather", args={"city": "Paris"})
    double.answer(1000, 60, cached=640, name="weather", args={"city": "Rome"})
    double.answer(1800, 44, cached=1280)
    client = genai.Client(api_key="unused", http_options=HttpOptions(base_url=double.url))
    config = GenerateContentConfig(
        tools=[weather],
        automatic_function_calling=AutomaticFunctionCallingConfig(maximum_remote_calls=5),
    )
    client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION, config=config)


def langgraph_agent(double: ProviderDouble) -> None:
    """An agent that calls the model, a tool, and the model again."""
    double.script(TOOL_CALL, TOOL_ANSWER)
    model = ChatOpenAI(model="gpt-4o", base_url=f"{double.url}/v1", api_key="unused")
    create_agent(model, [weather]).invoke({"messages": ASKED})


def openai_agent(double: ProviderDouble) -> None:
    """An agent of OpenAI's agents library."""
    double.script(TOOL_CALL, TOOL_ANSWER)

    async def run() -> None:
        async with async_openai_client(double) as client:
            model = OpenAIChatCompletionsModel(model="gpt-4o", openai_client=client)
            agent = Agent("forecaster", model=model, tools=[function_tool(weather)])
            await Runner.run(agent, QUESTION)

    asyncio.run(run())


def pydantic_agent(double: ProviderDouble) -> None:
    """An agent of pydantic-ai."""
    double.script(TOOL_CALL, TOOL_ANSWER)

    async def run() -> None:
        async with async_openai_client(double) as client:
            model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=client))
            agent = PydanticAgent(model, tools=[weather])
            await agent.run(QUESTION)

    asyncio.run(run())


def litellm_chat(double: ProviderDouble) -> None:
    """One chat completion through LiteLLM."""
    import litellm  # noqa: PLC0415 - warns as it is imported

    # It keeps clients, and each keeps the instrumentation that it was first called under.
    litellm.in_memory_llm_clients_cache.flush_cache()
    double.script(Reply(text="21 degrees", tokens=OPENAI_TOKENS))
    litellm.completion(
        model="openai/gpt-4o", messages=ASKED, api_base=f"{double.url}/v1", api_key="unused"
    )
