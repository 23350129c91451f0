"""The conversations that the demo plays: what is asked, of which model, and what it answers."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from farebox_processor.demo.replies import Reply, Tokens, ToolCall

__all__ = ["SCENES", "Api", "Exchange", "Scene", "Turn"]


class Api(Enum):
    """Which of the providers' interfaces an exchange goes through."""

    CHAT = "openai chat completions"
    RESPONSES = "openai responses"
    EMBEDDINGS = "openai embeddings"
    MESSAGES = "anthropic messages"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to a model and its answer. A refused one is followed by its retry."""

    api: Api
    model: str
    reply: Reply
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user asks, and the exchanges that it takes to answer."""

    question: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A conversation: who holds it, in which part of the product, and how it goes."""

    conversation_id: str
    shows: str
    """What there is to see in it."""
    user: str
    user_tier: str
    feature: str
    action: str
    outcome: str
    turns: tuple[Turn, ...]


def _says(tokens: Tokens, *, tool: str | None = None, searches: int = 0) -> Reply:
    return Reply(
        text="" if tool else "Here is what I found.",
        tokens=tokens,
        tool_calls=(ToolCall(tool, {"order": 1042}),) if tool else (),
        web_searches=searches,
    )


def _asked(question: str, model: str, tokens: Tokens) -> Turn:
    return Turn(question, (Exchange(Api.CHAT, model, _says(tokens)),))


def _refused(api: Api, model: str, status: int) -> Exchange:
    return Exchange(api, model, Reply(status=status, retry_after_s=0))


_SIMPLE: Final = Scene(
    conversation_id="support-1001",
    shows="a short question",
    user="ada",
    user_tier="free",
    feature="support",
    action="question_answered",
    outcome="resolved",
    turns=(
        _asked("Where is my invoice?", "gpt-4o-mini", Tokens(input=420, output=96)),
        _asked("And the one of May?", "gpt-4o-mini", Tokens(input=640, output=80)),
    ),
)

_STANDARD: Final = Scene(
    conversation_id="support-1002",
    shows="a longer one, streamed",
    user="ben",
    user_tier="gold",
    feature="support",
    action="ticket_resolution",
    outcome="resolved",
    turns=tuple(
        Turn(
            f"Step {number + 1} did not help, what next?",
            (
                Exchange(
                    Api.MESSAGES,
                    "claude-haiku-4-5",
                    _says(Tokens(input=600 + 480 * number, output=150)),
                    streamed=True,
                ),
            ),
        )
        for number in range(6)
    ),
)

_COMPLEX: Final = Scene(
    conversation_id="contract-2001",
    shows="a contract, clause by clause, with reasoning",
    user="chen",
    user_tier="gold",
    feature="contracts",
    action="contract_review",
    outcome="resolved",
    turns=tuple(
        Turn(
            f"What does clause {number + 1} oblige us to?",
            (
                Exchange(
                    Api.RESPONSES,
                    "gpt-5-mini",
                    _says(Tokens(input=1000 + 350 * number, output=300, reasoning=192)),
                ),
            ),
        )
        for number in range(14)
    ),
)

_CACHED: Final = Scene(
    conversation_id="contract-2002",
    shows="a long one, most of it read from the cache",
    user="dana",
    user_tier="enterprise",
    feature="contracts",
    action="contract_review",
    outcome="resolved",
    turns=tuple(
        Turn(
            f"Compare annex {number + 1} with the main agreement.",
            (
                Exchange(
                    Api.MESSAGES,
                    "claude-sonnet-4-6",
                    _says(
                        Tokens(
                            input=18_800,
                            output=350,
                            cache_write_5m=0 if number else 18_000,
                            cache_read=18_000 if number else 0,
                        )
                    ),
                ),
            ),
        )
        for number in range(12)
    ),
)

_TOOL_LOOP: Final = Scene(
    conversation_id="support-1003",
    shows="one answer that takes three tools",
    user="ada",
    user_tier="free",
    feature="support",
    action="order_changed",
    outcome="resolved",
    turns=(
        Turn(
            "Send order 1042 to my new address.",
            (
                *(
                    Exchange(
                        Api.CHAT,
                        "gpt-4o",
                        _says(Tokens(input=700 + 220 * number, output=40), tool=tool),
                    )
                    for number, tool in enumerate(("find_order", "check_stock", "change_address"))
                ),
                Exchange(Api.CHAT, "gpt-4o", _says(Tokens(input=1400, output=120))),
            ),
        ),
    ),
)

_RETRY: Final = Scene(
    conversation_id="support-1004",
    shows="a rate limit, then the answer",
    user="eve",
    user_tier="free",
    feature="support",
    action="question_answered",
    outcome="resolved",
    turns=(
        Turn(
            "Can I change my plan in the middle of the month?",
            (
                _refused(Api.CHAT, "gpt-4o", 429),
                Exchange(Api.CHAT, "gpt-4o", _says(Tokens(input=900, output=210))),
            ),
        ),
    ),
)

_FALLBACK: Final = Scene(
    conversation_id="support-1005",
    shows="an overloaded model, then another provider's",
    user="ben",
    user_tier="gold",
    feature="support",
    action="question_answered",
    outcome="resolved",
    turns=(
        Turn(
            "Which of my devices are still covered?",
            (
                _refused(Api.MESSAGES, "claude-sonnet-4-6", 529),
                _refused(Api.MESSAGES, "claude-sonnet-4-6", 529),
                Exchange(Api.CHAT, "gpt-4o", _says(Tokens(input=1250, output=240))),
            ),
        ),
    ),
)

_RUNAWAY: Final = Scene(
    conversation_id="agent-3001",
    shows="an agent that calls the same tool for ever",
    user="fay",
    user_tier="free",
    feature="agent",
    action="ticket_resolution",
    outcome="abandoned",
    turns=(
        Turn(
            "Find out why the import fails, and mend it.",
            tuple(
                Exchange(
                    Api.CHAT,
                    "gpt-4o",
                    _says(Tokens(input=2000 + 900 * number, output=60), tool="read_log"),
                )
                for number in range(28)
            ),
        ),
    ),
)

_RESEARCH: Final = Scene(
    conversation_id="research-4001",
    shows="retrieval, then searches that are billed one by one",
    user="chen",
    user_tier="gold",
    feature="research",
    action="report_written",
    outcome="resolved",
    turns=(
        Turn(
            "Who else sells this, and for how much?",
            (
                Exchange(
                    Api.EMBEDDINGS, "text-embedding-3-small", _says(Tokens(input=24, output=0))
                ),
                Exchange(
                    Api.MESSAGES,
                    "claude-sonnet-4-6",
                    _says(Tokens(input=5200, output=610), searches=3),
                ),
            ),
        ),
    ),
)

_UNKNOWN_MODEL: Final = Scene(
    conversation_id="support-1006",
    shows="a model that no price is known of",
    user="eve",
    user_tier="free",
    feature="support",
    action="question_answered",
    outcome="escalated",
    turns=(_asked("Do you ship to Norway?", "harbor-chat-large", Tokens(input=480, output=70)),),
)

SCENES: Final = (
    _SIMPLE,
    _STANDARD,
    _COMPLEX,
    _CACHED,
    _TOOL_LOOP,
    _RETRY,
    _FALLBACK,
    _RUNAWAY,
    _RESEARCH,
    _UNKNOWN_MODEL,
)
"""Every tier of the default plan, and what goes wrong with costs in practice."""
