"""Every attribute name of farebox's own, and the standard ones it reads or writes, defined once."""

from typing import Final

__all__ = [
    "ACTION",
    "ANTHROPIC_SERVICE_TIER",
    "ANTHROPIC_SPEED",
    "CACHE_READ_TOKENS",
    "CACHE_WRITE_1H_TOKENS",
    "CACHE_WRITE_5M_TOKENS",
    "CACHE_WRITE_TOKENS",
    "CALLS_RECORDED",
    "CONVERSATION_COST",
    "CONVERSATION_ENDED",
    "CONVERSATION_ID",
    "CONVERSATION_TIER",
    "CONVERSATION_TIER_PRICE",
    "CONVERSATION_TURNS",
    "CONVERSATION_TYPE",
    "COST",
    "COST_AMOUNT",
    "COST_AMOUNT_CURRENCY",
    "COST_AMOUNT_SOURCE",
    "COST_CACHE_READ",
    "COST_CACHE_WRITE",
    "COST_CURRENCY",
    "COST_INPUT",
    "COST_OUTPUT",
    "COST_REASON",
    "COST_SOURCE",
    "COST_STATUS",
    "COST_UNITS",
    "EXTRA_PREFIX",
    "FEATURE",
    "INFERENCE_GEO",
    "INPUT_TOKENS",
    "OPENAI_SERVICE_TIER",
    "OPERATION_NAME",
    "OUTCOME",
    "OUTPUT_TOKENS",
    "PRICE_RULE",
    "PROCESSING",
    "PROVIDER_NAME",
    "REASONING_TOKENS",
    "RECORDED_COST",
    "REQUEST_MODEL",
    "RESPONSE_CACHE",
    "RESPONSE_ID",
    "RESPONSE_MODEL",
    "SERVER_ADDRESS",
    "TENANT_ID",
    "TOKEN_SEMANTICS",
    "TOOL_NAME",
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

OPERATION_NAME: Final = "gen_ai.operation.name"
"""What kind of call it is: chat, embeddings, execute_tool, ..."""
PROVIDER_NAME: Final = "gen_ai.provider.name"
"""Who is billing the call."""
SERVER_ADDRESS: Final = "server.address"
"""Where the call went: Azure, a gateway, ... tell their prices by it."""
REQUEST_MODEL: Final = "gen_ai.request.model"
"""The model that was asked for."""
RESPONSE_MODEL: Final = "gen_ai.response.model"
"""The model that answered."""
RESPONSE_ID: Final = "gen_ai.response.id"
"""The provider's name of the answer: the same on every record of one call."""
TOOL_NAME: Final = "gen_ai.tool.name"
"""The tool that was run."""
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""All input, cached included."""
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
"""All output, reasoning included."""
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
"""Of the input, read from a cache."""
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
"""Of the input, written to a cache."""
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
"""Of the output, reasoning."""
OPENAI_SERVICE_TIER: Final = "openai.response.service_tier"
"""The tier that OpenAI served the call in."""
ANTHROPIC_SERVICE_TIER: Final = "anthropic.response.service_tier"
"""The tier that Anthropic served the call in, as its SDK names it."""
ANTHROPIC_SPEED: Final = "anthropic.response.speed"
"""fast, where Anthropic served the call in its fast mode."""

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
EXTRA_PREFIX: Final = "farebox.extra."
"""Followed by the name of a dimension of the service's own: farebox.extra.campaign."""

# --- what the instrumentation completes of a call's usage ----------------------------------------
USAGE_PREFIX: Final = "farebox.usage."
"""Followed by a unit: how many of it the call used, as farebox.usage.web_search = 2."""
CACHE_WRITE_5M_TOKENS: Final = "farebox.usage.cache_write_5m_tokens"
"""Of the cache writes, those that live for five minutes."""
CACHE_WRITE_1H_TOKENS: Final = "farebox.usage.cache_write_1h_tokens"
"""Of the cache writes, those that live for an hour."""
CALLS_RECORDED: Final = "farebox.calls_recorded"
"""True on a tool's span where each request that it led to has a span with its usage."""
USAGE_ESTIMATED: Final = "farebox.usage.estimated"
"""True where the token counts were estimated by the instrumentation (a stream that was cut)."""
PROCESSING: Final = "farebox.processing"
"""batch, where the provider bills the call as part of a batch."""
RESPONSE_CACHE: Final = "farebox.response_cache"
"""hit, where a cache of the service's own answered and no provider was asked."""
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
"""What the conversation cost so far, as far as the process that stored the span knows. Advisory:
the view `conversations` is the authority."""
CONVERSATION_TURNS: Final = "farebox.conversation.turns"
"""Turns so far. Advisory."""
CONVERSATION_TIER: Final = "farebox.conversation.tier"
"""Tier so far. Advisory."""
CONVERSATION_TIER_PRICE: Final = "farebox.conversation.tier_price_usd"
"""Price of that tier. Advisory."""
COST_AMOUNT: Final = "gen_ai.usage.cost.amount"
"""With `attributes.proposed_names`, on inference: the cost, named as proposed to OpenTelemetry. A
span that came with one of these three names keeps its own."""
COST_AMOUNT_CURRENCY: Final = "gen_ai.usage.cost.currency"
"""With it: USD."""
COST_AMOUNT_SOURCE: Final = "gen_ai.usage.cost.source"
"""With it: local, for a cost that was computed from prices. Absent for one that was supplied."""
