"""Draw up rate cards: what each quantity of one kind of call costs at one moment.

A rate card is worked out once per distinct combination of what prices depend on and kept; the
spans of a batch are then priced by column operations alone.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from farebox_processor.frames import TOKENS
from farebox_processor.model_resolution import Resolution, in_region, resolve, seller_of
from farebox_processor.price_book import PriceBook
from farebox_processor.price_entries import (
    Adjustment,
    Contract,
    Doubt,
    Matcher,
    ModelPrices,
    Rate,
    Rule,
    in_force,
)
from farebox_processor.price_units import PRICE_PARENTS
from farebox_processor.verdicts import Reason

__all__ = ["CallTerms", "RateCard", "context_of", "draw_card", "model_for", "price_for"]

_CHEAPER: Final = frozenset({("processing", "batch"), ("service_tier", "flex")})
_DEARER: Final = frozenset(
    {("service_tier", "priority"), ("service_tier", "fast"), ("speed", "fast")}
)
_NOT_A_REGION: Final = frozenset({"", "global", "not_available", "unknown", "default"})
RESPONSE_CACHE: Final = ("response_cache", "hit")
"""Context of a call that the service answered from a cache of its own."""


@dataclass(frozen=True, slots=True)
class CallTerms:
    """What a call says that its price can depend on, besides time and size."""

    provider: str | None = None
    model: str | None = None
    request_model: str | None = None
    region: str | None = None
    service_tier: str | None = None
    price_context: str | None = None
    tenant: str | None = None
    """Null for every tenant without a contract of its own."""
    columns: tuple[tuple[str, str | None], ...] = ()
    """The columns that rules look at."""


@dataclass(frozen=True, slots=True)
class RateCard:
    """The prices of one kind of call, before the tenant's contract."""

    priced_model: str | None = None
    source: str | None = None
    prices: Mapping[str, Rate] = field(default_factory=dict)
    """Quantity → its own rate; `price_for` gives the rate of one that has none."""
    minimum: Mapping[str, Decimal] = field(default_factory=dict)
    reason: Reason | None = None
    """Why there is no price, or why it is not the whole price."""
    rule: str | None = None
    contract: Contract | None = None
    is_free: bool = False
    """Nothing is charged, whatever the quantities."""
    doubt: Doubt | None = None
    """How far the truth may be from these prices; null if they are certain."""


def draw_card(
    book: PriceBook, terms: CallTerms, at: datetime, input_tokens: int, *, contracted: bool = False
) -> RateCard:
    """Return the prices for a call under `terms` that started at `at` (UTC).

    `input_tokens` is all input, cached included. With `contracted`, the fixed prices of the
    tenant's contract replace list prices.
    """
    context = context_of(terms)
    rule = _rule_for(book, terms, at)
    if RESPONSE_CACHE in context.items():
        return RateCard(
            source="the service's own response cache",
            reason=Reason.RESPONSE_CACHE_HIT,
            is_free=True,
        )
    if rule is not None:
        source = f"rule {rule.id}: {rule.origin}"
        card = RateCard(source=source, prices=rule.prices, rule=rule.id, doubt=rule.doubt)
    else:
        card = _model_card(book, terms, context, at)
    contract = _contract_for(book, terms, card, at)
    prices = dict(card.prices)
    if contracted and contract is not None:
        prices |= contract.prices
    is_agreed = contract is not None and card.prices.keys() <= contract.prices.keys()
    doubt = None if is_agreed else card.doubt
    return RateCard(
        card.priced_model,
        card.source,
        {name: _at_size(rate, input_tokens) for name, rate in prices.items()},
        card.minimum,
        card.reason or (Reason.PRICE_UNCERTAIN if doubt else None),
        card.rule,
        contract,
        card.is_free,
        doubt,
    )


def price_for(prices: Mapping[str, Rate], quantity: str) -> Rate | None:
    """Return the rate of `quantity`: its own, or that of the unit which it is part of."""
    names = (quantity, *PRICE_PARENTS.get(quantity, ()))
    return next((prices[name] for name in names if name in prices), None)


@lru_cache(maxsize=20_000)
def model_for(book: PriceBook, terms: CallTerms) -> Resolution:
    """Return the model that calls under `terms` are priced by."""
    region = terms.region or context_of(terms).get("inference_geo")
    return resolve(
        book, terms.provider, terms.model, request_model=terms.request_model, region=region
    )


def context_of(terms: CallTerms) -> dict[str, str]:
    """Return key → value of what the prices of a model may depend on."""
    pairs = (pair.partition("=") for pair in (terms.price_context or "").split(",") if pair)
    context = {key.strip(): value.strip() for key, _, value in pairs}
    if terms.service_tier == "batch":
        context.setdefault("processing", "batch")
    elif terms.service_tier:
        context.setdefault("service_tier", terms.service_tier.lower())
    return context


def _model_card(
    book: PriceBook, terms: CallTerms, context: Mapping[str, str], at: datetime
) -> RateCard:
    found = model_for(book, terms)
    if found.reason is not None:
        return RateCard(reason=found.reason)
    adjustment = _adjustment_for(book, terms, found, at)
    sold = found
    if adjustment is not None and adjustment.of_region is not None:
        sold = in_region(book, found, adjustment.of_region)
    card = _listed(book, sold, context, at)
    return _adjusted(card, found, adjustment)


def _listed(
    book: PriceBook, found: Resolution, context: Mapping[str, str], at: datetime
) -> RateCard:
    """Return base and overlay prices of a model, the later layer over the earlier one."""
    prices = found.base.rates(at, context) if found.base else {}
    is_free = found.base is not None and not prices
    source = f"{book.base.version}: {found.base.info.id}" if found.base else ""
    minimum: dict[str, Decimal] = {}
    doubt: Doubt | None = None
    doubted: Set[str] = frozenset()
    entries = book.entries.get((found.provider or "", found.model or ""), ())
    for entry in entries:
        if entry.applies(found.region, context, at):
            prices |= {name: _sourced(rate, entry) for name, rate in entry.prices.items()}
            minimum |= entry.minimum
            if entry.doubt or doubted <= entry.prices.keys():
                doubt, doubted = entry.doubt, entry.prices.keys()
            source = f"{source} + {entry.origin}" if source else str(entry.origin)
    reason = None if prices or is_free else Reason.NO_PRICE_AT_TIME
    if reason is None:
        unknown = _unknown_terms(book, found, context, at)
        reason = Reason.SERVED_MODEL_UNKNOWN if found.is_asked else unknown
    return RateCard(
        found.name,
        source or None,
        prices,
        minimum,
        reason,
        is_free=is_free and not prices,
        doubt=doubt,
    )


def _unknown_terms(
    book: PriceBook, found: Resolution, context: Mapping[str, str], at: datetime
) -> Reason | None:
    """Return that a discount or a surcharge is due whose size the book does not know.

    Where a provider publishes such prices for other models but not for this one, the standard
    price holds: gpt-4o in flex costs what it always does.
    """
    entries = book.entries.get((found.provider or "", found.model or ""), ())
    known = {pair for entry in entries for pair in entry.context}
    published = book.base.terms.get(found.provider or "", frozenset())
    base = found.base
    for pair in context.items():
        if pair in known or (base is not None and base.has_terms(*pair, at)):
            continue
        if base is not None and base.is_own and pair in published and not base.has_terms(*pair):
            continue
        if pair in _CHEAPER:
            return Reason.NO_PRICE_FOR_DISCOUNT
        if pair in _DEARER:
            return Reason.NO_PRICE_FOR_SURCHARGE
    return None


def _adjustment_for(
    book: PriceBook, terms: CallTerms, found: Resolution, at: datetime
) -> Adjustment | None:
    region = found.region
    if region is None or region in _NOT_A_REGION:
        return None
    names = {found.provider, (terms.provider or "").lower()}
    return next(
        (
            one
            for one in in_force(book.adjustments, at)
            if not names.isdisjoint(one.providers)
            and any(fnmatchcase(found.model or "", glob) for glob in one.models)
            and any(fnmatchcase(region, glob) for glob in one.regions)
        ),
        None,
    )


def _adjusted(card: RateCard, found: Resolution, adjustment: Adjustment | None) -> RateCard:
    if adjustment is None:
        return card
    factor = adjustment.multiply
    reason = f"{adjustment.id}: {adjustment.origin}"
    prices = {
        name: rate.times(factor, reason) if name in TOKENS else rate
        for name, rate in card.prices.items()
    }
    source = f"{card.source} x {factor} {reason}"
    doubt = adjustment.doubt.times(card.doubt) if adjustment.doubt else card.doubt
    return RateCard(
        found.name,
        source,
        prices,
        card.minimum,
        card.reason,
        is_free=card.is_free,
        doubt=doubt,
    )


def _sourced(rate: Rate, entry: ModelPrices) -> Rate:
    return Rate(rate.usd, rate.per, rate.above, str(entry.origin))


def _at_size(rate: Rate, input_tokens: int) -> Rate:
    if not rate.above:
        return rate
    return Rate(rate.usd_for(input_tokens), rate.per, (), rate.source)


def _rule_for(book: PriceBook, terms: CallTerms, at: datetime) -> Rule | None:
    values = dict(terms.columns) | {"model": terms.model}
    named = values.get("price_rule")
    providers = {terms.provider, seller_of(book, terms.provider)}
    return next(
        (
            rule
            for rule in in_force(book.rules, at)
            if rule.id == named or (rule.match.columns and _fits(rule.match, values, providers))
        ),
        None,
    )


def _contract_for(
    book: PriceBook, terms: CallTerms, card: RateCard, at: datetime
) -> Contract | None:
    provider, _, model = (card.priced_model or "").partition("/")
    values = {"model": model or terms.model, "price_rule": card.rule}
    providers = {provider or seller_of(book, terms.provider), terms.provider}
    return next(
        (
            one
            for one in book.contracts
            if one.tenant in ("*", terms.tenant)
            and _fits(one.match, values, providers)
            and one.validity.covers(at)
        ),
        None,
    )


def _fits(match: Matcher, values: Mapping[str, str | None], providers: Set[str | None]) -> bool:
    """Return whether `values` match, under what the span calls its provider or under its id."""
    return any(match.matches({**values, "provider": provider}) for provider in providers)
