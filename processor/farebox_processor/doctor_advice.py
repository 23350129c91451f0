"""Findings in, the same findings with one plain sentence each out: what to change in the set-up."""

from typing import Final, NamedTuple

import polars as pl

from farebox_processor.verdicts import Reason, Uncertainty

__all__ = ["ADVICE", "BLINDNESS_ADVICE", "Advice", "advise"]


class Advice(NamedTuple):
    """What to do about a finding; `{subject}` stands for what the finding is about."""

    code: str
    sentence: str
    emitter: str = ""
    """Regular expression on the scope's name and version; the first that fits is given."""
    kind: str = ""
    """Kind of finding, where one code is found in two ways."""
    subject: str = ""
    """Regular expression on the subject."""


ADVICE: Final[tuple[Advice, ...]] = (
    # What the price book lacks.
    Advice(
        Reason.UNKNOWN_MODEL,
        "No price list knows {subject}: add its prices under `models:` in a file of"
        " prices.overlays, or the model that it stands for under `aliases:`.",
    ),
    Advice(
        Reason.UNKNOWN_PROVIDER,
        "Nobody is known to sell {subject}: set gen_ai.provider.name, or name its provider under"
        " `aliases:` in a file of prices.aliases.",
    ),
    Advice(
        Reason.FINE_TUNED,
        "{subject} is fine-tuned, and its base's price is not its own: add its prices under"
        " `models:` in a file of prices.overlays.",
    ),
    Advice(
        Reason.NO_PRICE_AT_TIME,
        "The prices of {subject} begin later than these calls: add an entry with an earlier"
        " `from:` in a file of prices.overlays.",
    ),
    Advice(
        Reason.NO_PRICE_FOR_UNIT,
        "{subject} has no price for one of the units that were used: see"
        " `farebox prices show {subject}` and add it in a file of prices.overlays.",
    ),
    Advice(
        Reason.SERVED_MODEL_UNKNOWN,
        "{subject} answered, which no layer knows, and the price is that of the model that was"
        " asked: add its prices under `models:` in a file of prices.overlays, or name the model"
        " that it is under `aliases:`.",
    ),
    Advice(
        Reason.NO_PRICE_FOR_DISCOUNT,
        "{subject} was served in batch or flex, which the price book has at the plain price only:"
        " add it with `context:` in a file of prices.overlays.",
    ),
    Advice(
        Reason.NO_PRICE_FOR_SURCHARGE,
        "{subject} was served with priority, which the price book has at the plain price only:"
        " add it with `context:` in a file of prices.overlays.",
    ),
    Advice(
        Reason.NO_MODEL,
        "The spans name no model: set gen_ai.request.model, or write a price rule that matches"
        " them.",
    ),
    # Usage that is not there.
    Advice(
        Uncertainty.USAGE_MISSING,
        "It records agents and none of their calls: turn on"
        " opentelemetry-instrumentation-genai-openai beside it.",
        emitter=r"^opentelemetry\.instrumentation\.genai\.openai_agents",
    ),
    Advice(
        Uncertainty.USAGE_MISSING,
        "OpenLLMetry 0.40 loses the usage of streams: upgrade it, and set"
        " stream_options.include_usage.",
        emitter=r"^opentelemetry\.instrumentation\.openai\.v[01] 0\.40\.",
    ),
    Advice(
        Uncertainty.USAGE_MISSING,
        "These calls carry no usage: set stream_options.include_usage on streams and read them to"
        " their end; `farebox.instrument()` estimates those that are cut.",
    ),
    Advice(
        Uncertainty.USAGE_INCOMPLETE,
        "Only the input or only the output is stated: upgrade the emitter, or let an"
        " OpenTelemetry GenAI instrumentation record the calls.",
    ),
    Advice(
        Uncertainty.USAGE_INVALID,
        "The usage is no whole number from 0 on: upgrade the emitter, or correct what sets it.",
    ),
    Advice(
        Uncertainty.USAGE_ESTIMATED,
        "Streams were cut and their usage estimated: read streams to their end where you can.",
    ),
    Advice(
        Uncertainty.USAGE_CONTRADICTORY,
        "Parts of the usage are larger than the whole: upgrade the emitter, or name what it counts"
        " in a dialect of your own.",
    ),
    Advice(
        "invalid_usage",
        "Some quantities are no whole numbers from 0 on and were left out: upgrade the emitter, or"
        " correct what sets them.",
    ),
    # Usage that the emitter loses.
    Advice(
        Uncertainty.CACHE_READ_UNREPORTED,
        "opentelemetry-instrumentation-openai-v2 drops cached tokens: use"
        " opentelemetry-instrumentation-genai-openai.",
        emitter=r"^opentelemetry\.(instrumentation\.openai_v2|util\.genai\.handler)",
    ),
    Advice(
        Uncertainty.CACHE_READ_UNREPORTED,
        "pydantic-ai 1.x drops cached tokens: upgrade to 2.x.",
        emitter=r"^pydantic-ai 1\.",
    ),
    Advice(
        Uncertainty.CACHE_READ_UNREPORTED,
        "The emitter drops cached tokens: upgrade it, or use one that sends"
        " gen_ai.usage.cache_read.input_tokens.",
    ),
    Advice(
        Uncertainty.CACHE_WRITE_UNREPORTED,
        "The emitter drops what was written to the cache: let an instrumentation of the provider's"
        " own SDK record the calls.",
    ),
    Advice(
        Uncertainty.CACHE_WRITE_TTL_UNREPORTED,
        "Bedrock spans do not say for how long the cache was written: the cost is that of five"
        " minutes; if you ask for an hour, read cost_high_usd.",
        emitter=r"bedrock",
    ),
    Advice(
        Uncertainty.CACHE_WRITE_TTL_UNREPORTED,
        "The emitter does not say for how long the cache was written: call `farebox.instrument()`,"
        " which adds it, or leave the spans of the Anthropic SDK itself on.",
    ),
    Advice(
        Uncertainty.CACHE_UNCOUNTED,
        "Spans of InvokeModel have no count of cached input: call Converse.",
    ),
    Advice(
        Uncertainty.OUTPUT_OVERCOUNTED,
        "OpenLLMetry adds a few tokens to the output of Anthropic streams: use"
        " opentelemetry-instrumentation-genai-anthropic.",
    ),
    Advice(
        Uncertainty.REASONING_UNREPORTED,
        "The emitter leaves reasoning out of the output: use"
        " opentelemetry-instrumentation-google-genai.",
    ),
    Advice(
        Reason.MODALITY_UNREPORTED,
        "{subject} puts out audio, images or video too, at a price of their own, and the output is"
        " all stated as text: set gen_ai.usage.audio.output_tokens or"
        " gen_ai.usage.image.output_tokens.",
    ),
    Advice(
        Uncertainty.CALLS_UNREPORTED,
        "With automatic function calling a span stands for several calls and has the usage of the"
        " last: call `farebox.instrument()`, which gives each a span of its own.",
    ),
    Advice(
        Uncertainty.UNITS_UNREPORTED,
        "The emitter does not count rerank searches: set farebox.usage.rerank_search on the span.",
        emitter=r"cohere",
    ),
    Advice(
        Uncertainty.UNITS_UNREPORTED,
        "A paid tool was used and not counted: call `farebox.instrument()`, or set"
        " farebox.usage.<unit> (as farebox.usage.web_search) on the span.",
    ),
    Advice(
        Uncertainty.REGION_UNREPORTED,
        "OpenLLMetry cuts the region off the model's name: use"
        " opentelemetry-instrumentation-botocore.",
    ),
    Advice(
        Reason.PRICE_UNCERTAIN,
        "The price depends on what no span shows; `farebox prices show --rules` says between which"
        " multiples of it the truth lies. Put what you pay into a contract or a file of"
        " prices.overlays.",
    ),
    Advice(
        Uncertainty.AGGREGATE,
        "The calls below these spans were not recorded: turn on the instrumentation of the"
        " provider's SDK too.",
        kind="uncertain",
    ),
    # What was recorded more than once. farebox has dealt with it.
    Advice(
        "duplicate",
        "{subject} records the same calls, and its spans were billed: turn one of the two off;"
        " ANTHROPIC_OPEN_TELEMETRY=false silences those of the Anthropic SDK itself.",
        subject=r"^com\.anthropic\.",
    ),
    Advice(
        "duplicate",
        "The Anthropic SDK emits spans of its own beside those of {subject}:"
        " ANTHROPIC_OPEN_TELEMETRY=false silences them.",
        emitter=r"^com\.anthropic\.",
    ),
    Advice(
        "duplicate",
        "The emitter records these calls more than once, and each was billed once: nothing to"
        " change.",
        subject=r"^$",
    ),
    Advice(
        "duplicate",
        "{subject} records the same calls, and its spans were billed: turn one of the two off.",
    ),
    Advice(
        "wrapper",
        "These spans stand around the calls that were billed: nothing to change.",
        subject=r"^$",
    ),
    Advice(
        "wrapper",
        "These spans stand around those of {subject}, which were billed: nothing to change.",
    ),
    Advice(
        "aggregate",
        "These spans repeat the sums of the calls below them, which were billed: nothing to change"
        " here; leave them out where you add up tokens yourself.",
        kind="repeated",
    ),
    # Costs that came with the spans.
    Advice(
        "supplied_cost_differs",
        "{subject} is not what the price book comes to, which was billed: see"
        " `farebox prices show MODEL`.",
    ),
)
"""Of several for one code, the first that fits is given."""

BLINDNESS_ADVICE: Final = {
    "cache_ttl": "for how long a cache was written",
    "data_zone": "whether Azure kept a call in a data zone or a region, which is 10 % dearer"
    " (`farebox.inference_geo` says so)",
    "service_tier": "whether a call was served in batch, flex or priority",
    "web_search": "how many web searches, each with a fee of its own, a call made",
}
"""What is hidden by an emitter that can never show it, whether or not there was any."""

_OTHERWISE: Final = "See docs/verdicts.md for what this verdict means."


def advise(findings: pl.DataFrame) -> pl.DataFrame:
    """Return `findings` (doctor_findings.FINDINGS) with `advice`."""
    sentence = pl.coalesce(
        *(pl.when(_fits(one)).then(pl.lit(one.sentence)) for one in ADVICE), pl.lit(_OTHERWISE)
    )
    subject = pl.col("subject").fill_null("")
    return findings.with_columns(
        advice=sentence.str.replace_all("{subject}", subject, literal=True)
    )


def _fits(advice: Advice) -> pl.Expr:
    conditions = [pl.col("code") == advice.code]
    if advice.kind:
        conditions.append(pl.col("kind") == advice.kind)
    if advice.emitter:
        emitter = pl.concat_str("scope_name", "scope_version", separator=" ")
        conditions.append(emitter.str.contains(advice.emitter))
    if advice.subject:
        conditions.append(pl.col("subject").fill_null("").str.contains(advice.subject))
    return pl.all_horizontal(conditions)
