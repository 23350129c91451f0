"""genai-prices as the base layer: providers, models and dated prices in this project's words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property
from importlib.metadata import version
from typing import Final, TypeAlias

from genai_prices import data_snapshot
from genai_prices.data_units import unit_data
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)
from genai_prices.units import UnitRegistry

from farebox_processor.price_entries import Rate
from farebox_processor.price_units import BASE_PRICE_KEYS

__all__ = ["FINE_TUNED", "BaseModel", "BasePrices", "load_base"]

FINE_TUNED: Final = re.compile(
    r"(?:^|[/:])ft:|[:.]ft-|custom-model(?:-deployment)?/|imported-model/|provisioned-model/"
)
"""What marks the name of a model that was trained on top of another one."""

_RELEASE: Final = f"genai-prices {version('genai-prices')}"
_PER: Final = {unit.price_key: unit.per for unit in UnitRegistry(unit_data).units.values()}

_DEARER_ELSEWHERE: Final = {"azure": frozenset({"deepseek", "moonshotai", "x-ai"})}
"""Reseller → makers whose models it has prices of its own for, which the base does not know: Azure
asks $1.35 for what costs $0.55 at DeepSeek."""

_HARMLESS: Final = re.compile(
    r"(?:[-@:._/](?:\d{3,8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2}(?:-\d{4})?|\d{2}-\d{4}"
    r"|v\d+(?:[.:]\d+)?|\d|latest|preview|exp|experimental|beta))*",
)
"""What may follow a model's name without naming another model: dates, versions, stages."""
_REST_OF_DATE: Final = re.compile(r"\d{2,4}(?:-\d{2}){0,2}")
_OPEN_DATE: Final = re.compile(r"(?:^|[-@])(?:20\d\d|0)?-?$")


Terms: TypeAlias = tuple[Mapping[str, str], StartDateConstraint | TimeOfDateConstraint | None]
"""The context (key → value) and the time under which prices hold."""


@dataclass(frozen=True, slots=True, eq=False)
class BaseModel:
    """A model of the base as one provider sells it."""

    provider: str
    """Id of the provider that was asked."""
    info: ModelInfo
    is_own: bool
    """False where the provider resells another one's model, for which no variants are known."""

    @property
    def id(self) -> str:
        """The model's id, in lower case."""
        return self.info.id.lower()

    def rates(self, at: datetime, context: Mapping[str, str]) -> dict[str, Rate]:
        """Return the price of each quantity at `at` under `context`; {} is free of charge."""
        prices = self.info.get_prices(at, dict(context) if self.is_own else None)
        return dict(_rates(prices, f"{_RELEASE}: {self.info.id}"))

    def dated_rates(self) -> Iterator[tuple[Terms, dict[str, Rate]]]:
        """Yield every set of prices of the model with the terms under which it holds."""
        source = f"{_RELEASE}: {self.info.id}"
        if isinstance(self.info.prices, ModelPrice):
            yield ({}, None), dict(_rates(self.info.prices, source))
        else:
            for one in self.info.prices:
                yield ({}, one.constraint), dict(_rates(one.prices, source))
        for variant in self.info.price_variants or ():
            yield (variant.when, variant.constraint), dict(_rates(variant.prices, source))

    def has_terms(self, key: str, value: str, at: datetime | None = None) -> bool:
        """Return whether it has prices of its own for the context key=value (at `at`)."""
        return self.is_own and any(
            variant.when.get(key) == value
            and (at is None or variant.constraint is None or variant.constraint.active(at))
            for variant in self.info.price_variants or ()
        )

    @property
    def is_recurring(self) -> bool:
        """Whether its price depends on the hour of the day."""
        return any(isinstance(one, TimeOfDateConstraint) for one in _constraints(self.info))


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """The models of one provider by name, so that a name is not tried on each of hundreds."""

    infos: list[ModelInfo]
    ids: dict[str, int]
    equals: dict[str, int]
    patterns: list[tuple[int, MatchLogic]]

    def find(self, name: str) -> ModelInfo | None:
        """Return the model of this id, or else the first that matches `name`."""
        if name in self.ids:
            return self.infos[self.ids[name]]
        equal = self.equals.get(name, len(self.infos))
        position = next(
            (at for at, clause in self.patterns if at >= equal or _matches(clause, name)), equal
        )
        position = min(position, equal)
        return self.infos[position] if position < len(self.infos) else None


def _catalogue(infos: list[ModelInfo]) -> _Catalogue:
    catalogue = _Catalogue(infos, {}, {}, [])
    for position, info in enumerate(infos):
        catalogue.ids.setdefault(info.id.lower(), position)
        for clause in _alternatives(info.match):
            if isinstance(clause, ClauseEquals):
                catalogue.equals.setdefault(clause.equals.lower(), position)
            else:
                catalogue.patterns.append((position, clause))
    return catalogue


def _alternatives(clause: MatchLogic) -> Iterator[MatchLogic]:
    if isinstance(clause, ClauseOr):
        for one in clause.or_:
            yield from _alternatives(one)
    else:
        yield clause


@dataclass(frozen=True)
class BasePrices:
    """The base layer: who sells which models at which prices."""

    providers: Mapping[str, Provider]
    version: str

    def model(self, provider: str, name: str) -> BaseModel | None:
        """Return the model that `provider` (an id) sells under `name`, in lower case.

        Stricter than genai-prices: what is left of a name after a prefix or substring match must
        be a date, a version or a stage, so that `o4-mini-deep-research` is not sold as `o4-mini`.
        """
        makers = self.providers[provider].fallback_model_providers or ()
        apart = _DEARER_ELSEWHERE.get(provider, frozenset())
        for owner in (provider, *(maker for maker in makers if maker not in apart)):
            if (info := self._catalogues[owner].find(name)) is not None:
                return BaseModel(provider, info, owner == provider)
        return None

    @cached_property
    def _catalogues(self) -> Mapping[str, _Catalogue]:
        return {one.id: _catalogue(one.models) for one in self.providers.values()}

    def makers(self, name: str) -> list[str]:
        """Return the providers whose own naming `name` follows."""
        return [
            provider.id
            for provider in self.providers.values()
            if provider.model_match is not None and provider.model_match.is_match(name)
        ]

    @cached_property
    def models(self) -> tuple[BaseModel, ...]:
        """Every model of every provider that names its own prices."""
        return tuple(
            BaseModel(provider.id, info, True)
            for provider in self.providers.values()
            for info in provider.models
        )

    @cached_property
    def terms(self) -> Mapping[str, frozenset[tuple[str, str]]]:
        """Provider → the contexts for which it publishes prices of some of its models."""
        return {
            provider.id: frozenset(
                pair
                for info in provider.models
                for variant in info.price_variants or ()
                for pair in variant.when.items()
            )
            for provider in self.providers.values()
        }

    @cached_property
    def changes(self) -> frozenset[datetime]:
        """The instants at which some price begins."""
        return frozenset(
            datetime(*constraint.start_date.timetuple()[:3], tzinfo=UTC)
            for model in self.models
            for constraint in _constraints(model.info)
            if isinstance(constraint, StartDateConstraint)
        )

    @cached_property
    def hours(self) -> frozenset[time]:
        """The times of the day, UTC, at which some price changes."""
        return frozenset(
            datetime.combine(datetime(2000, 1, 2, tzinfo=UTC).date(), clock).astimezone(UTC).time()
            for model in self.models
            for constraint in _constraints(model.info)
            if isinstance(constraint, TimeOfDateConstraint)
            for clock in (constraint.start_time, constraint.end_time)
        )

    @cached_property
    def thresholds(self) -> frozenset[int]:
        """The input sizes above which some price is another."""
        return frozenset(
            tier.start
            for model in self.models
            for prices in _all_prices(model.info)
            for price in vars(prices).values()
            if isinstance(price, TieredPrices)
            for tier in price.tiers
        )


def load_base() -> BasePrices:
    """Return the prices that the installed genai-prices brings along; nothing is fetched."""
    providers = data_snapshot._bundled_snapshot().providers
    return BasePrices({one.id: one for one in providers}, _RELEASE)


def _rates(prices: ModelPrice, source: str) -> Iterator[tuple[str, Rate]]:
    for key, price in vars(prices).items():
        if price is None:
            continue
        quantity, per = BASE_PRICE_KEYS[key], _PER[key]
        if isinstance(price, TieredPrices):
            steps = tuple((tier.start, tier.price) for tier in price.tiers)
            yield quantity, Rate(price.base, per, steps, source)
        else:
            yield quantity, Rate(price, per, (), source)


def _all_prices(info: ModelInfo) -> Iterator[ModelPrice]:
    if isinstance(info.prices, ModelPrice):
        yield info.prices
    else:
        yield from (one.prices for one in info.prices)
    yield from (variant.prices for variant in info.price_variants or ())


def _constraints(
    info: ModelInfo,
) -> Iterator[StartDateConstraint | TimeOfDateConstraint | None]:
    if not isinstance(info.prices, ModelPrice):
        yield from (one.constraint for one in info.prices)
    yield from (variant.constraint for variant in info.price_variants or ())


def _matches(clause: MatchLogic, name: str) -> bool:
    match clause:
        case ClauseOr():
            return any(_matches(one, name) for one in clause.or_)
        case ClauseAnd():
            return all(_matches(one, name) for one in clause.and_)
        case ClauseEquals() | ClauseRegex():
            return clause.is_match(name)
        case ClauseStartsWith():
            literal = clause.starts_with.lower()
            return name.startswith(literal) and _is_harmless(literal, name[len(literal) :])
        case ClauseEndsWith():
            literal = clause.ends_with.lower()
            return name.endswith(literal) and _is_boundary(name[: -len(literal)])
        case ClauseContains():
            literal = clause.contains.lower()
            before, found, after = name.partition(literal)
            return bool(found) and _is_boundary(before) and _is_harmless(literal, after)


def _is_harmless(literal: str, rest: str) -> bool:
    if FINE_TUNED.search(literal):
        return True  # what follows is the customer's name for it
    if _OPEN_DATE.search(literal) and (date := _REST_OF_DATE.match(rest)):
        rest = rest[date.end() :]
    return _HARMLESS.fullmatch(rest) is not None


def _is_boundary(before: str) -> bool:
    return not before or before[-1] in "/.:"
