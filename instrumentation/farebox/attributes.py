"""Every attribute name of farebox's own, and the standard ones it reads or writes, defined once."""

from typing import Final

__all__ = [
    "ACTION",
    "CONVERSATION_COST",
    "CONVERSATION_ENDED",
    "CONVERSATION_ID",
    "CONVERSATION_TIER",
    "CONVERSATION_TIER_PRICE",
    "CONVERSATION_TURNS",
    "CONVERSATION_TYPE",
    "COST",
    "COST_CACHE_READ",
    "COST_CACHE_WRITE",
    "COST_CURRENCY",
    "COST_INPUT",
    "COST_OUTPUT",
    "COST_REASON",
    "COST_SOURCE",
    "COST_STATUS",
    "COST_UNITS",
    "FEATURE",
    "INFERENCE_GEO",
    "OUTCOME",
    "PRICE_RULE",
    "PROCESSING",
    "RECORDED_COST",
    "TENANT_ID",
    "TOKEN_SEMANTICS",
    "TURN_ID",
    "USAGE_ESTIMATED",
    "USAGE_PREFIX",
    "USER_ID",
    "USER_TIER",
]


# --- standard names that the instrumentation writes ----------------------------------------------
CONVERSATION_ID: Final = "gen_ai.conversation.id"
"""The conversation, as OpenTelemetry names it."""
USER_ID: Final = "user.id"
"""Who the conversation is with, as OpenTelemetry names it."""
TOKEN_SEMANTICS: Final = "gen_ai.token.semantics"  # noqa: S105 - a name, not a secret
"""`inclusive`: input tokens include cached ones, as the conventions ask for."""

# --- what the instrumentation says of a conversation ---------------------------------------------
TENANT_ID: Final = "farebox.tenant.id"
"""The customer the conversation belongs to. A token's tenant wins over it."""
USER_TIER: Final = "farebox.user.tier"
"""The class of the user: free, gold, ..."""
FEATURE: Final = "farebox.feature"
"""The part of the product that the conversation is held in."""
ACTION: Final = "farebox.action"
"""The unit of work that is sold: contract_review, ticket_resolution, ..."""
CONVERSATION_TYPE: Final = "farebox.conversation.type"
"""What conversations are compared with each other."""
CONVERSATION_ENDED: Final = "farebox.conversation.ended"
"""True on a span that ends its conversation."""
TURN_ID: Final = "farebox.turn.id"
"""One exchange, from what the user asked to what they were answered."""
OUTCOME: Final = "farebox.outcome"
"""How the conversation ended: resolved, escalated, abandoned, ..."""

# --- what the instrumentation completes of a call's usage ----------------------------------------
USAGE_PREFIX: Final = "farebox.usage."
"""Followed by a unit: how many of it the call used, as farebox.usage.web_search = 2."""
USAGE_ESTIMATED: Final = "farebox.usage.estimated"
"""True where the token counts were estimated by the instrumentation (a stream that was cut)."""
PROCESSING: Final = "farebox.processing"
"""batch, where the provider bills the call as part of a batch."""
INFERENCE_GEO: Final = "farebox.inference_geo"
"""Where the provider promised to run the inference: us, eu, ..."""
PRICE_RULE: Final = "farebox.price.rule"
"""Name of the price rule that a tool call or other paid work is billed by."""
RECORDED_COST: Final = "farebox.recorded_cost_usd"
"""A cost that the service knows itself, in US dollars, as a decimal string."""

# --- what the processor attaches -----------------------------------------------------------------
COST: Final = "farebox.cost.usd"
"""What the call cost, in US dollars. Absent where it is not known."""
COST_INPUT: Final = "farebox.cost.input_usd"
"""Of which fresh input."""
COST_CACHE_READ: Final = "farebox.cost.cache_read_usd"
"""Of which input read from a cache."""
COST_CACHE_WRITE: Final = "farebox.cost.cache_write_usd"
"""Of which input written to a cache."""
COST_OUTPUT: Final = "farebox.cost.output_usd"
"""Of which output."""
COST_UNITS: Final = "farebox.cost.units_usd"
"""Of which searches, seconds and other counted units."""
COST_CURRENCY: Final = "farebox.cost.currency"
"""USD."""
COST_STATUS: Final = "farebox.cost.status"
"""How far the cost can be trusted: exact, supplied, estimated, upper_bound, partial, unpriced."""
COST_REASON: Final = "farebox.cost.reason"
"""Why it is not exact."""
COST_SOURCE: Final = "farebox.cost.source"
"""Which entry of the price book gave the prices."""
CONVERSATION_COST: Final = "farebox.conversation.cost_usd"
"""What the conversation cost so far. Advisory: the view `conversations` is the authority."""
CONVERSATION_TURNS: Final = "farebox.conversation.turns"
"""Turns so far. Advisory."""
CONVERSATION_TIER: Final = "farebox.conversation.tier"
"""Tier so far. Advisory."""
CONVERSATION_TIER_PRICE: Final = "farebox.conversation.tier_price_usd"
"""Price of that tier. Advisory."""
