"""What a price file says, as immutable records: prices, adjustments, rules and contracts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TypeVar

__all__ = [
    "Adjustment",
    "Contract",
    "Doubt",
    "Matcher",
    "ModelPrices",
    "Origin",
    "PriceFile",
    "Rate",
    "Rule",
    "Validity",
    "in_force",
]

_Named = TypeVar("_Named", "Adjustment", "Rule")


@dataclass(frozen=True, slots=True)
class Rate:
    """A price: `usd` for `per` of the quantity, and what it becomes in long contexts."""

    usd: Decimal
    per: int = 1
    above: tuple[tuple[int, Decimal], ...] = ()
    """(tokens, usd) ascending: the price of the whole request if its input exceeds `tokens`."""
    source: str = field(default="", compare=False)
    """The layer and the entry that gave it."""

    def usd_for(self, input_tokens: int) -> Decimal:
        """Return the price of a request with `input_tokens`, cached ones included."""
        return next((usd for limit, usd in reversed(self.above) if input_tokens > limit), self.usd)

    def times(self, factor: Decimal, source: str) -> "Rate":
        """Return the rate multiplied by `factor`, for the reason `source`."""
        above = tuple((limit, usd * factor) for limit, usd in self.above)
        return Rate(self.usd * factor, self.per, above, f"{self.source} x {factor} {source}")


@dataclass(frozen=True, slots=True)
class Validity:
    """When an entry holds, in UTC: dates from `start` up to `end`, weekdays, hours of the day."""

    start: date | None = None
    end: date | None = None
    """The first day on which it holds no longer."""
    weekdays: frozenset[int] = frozenset()
    """0 is Monday; empty means every day."""
    hours: tuple[time, time] | None = None
    """From the first up to the second; over midnight if the second is the earlier."""

    def covers(self, at: datetime) -> bool:
        """Return whether the entry holds at `at`."""
        day = at.date()
        if (self.start and day < self.start) or (self.end and day >= self.end):
            return False
        return (not self.weekdays or at.weekday() in self.weekdays) and self._covers_hour(at.time())

    def _covers_hour(self, clock: time) -> bool:
        if self.hours is None:
            return True
        begin, end = self.hours
        if begin <= end:
            return begin <= clock < end
        return clock >= begin or clock < end

    @property
    def changes(self) -> tuple[datetime, ...]:
        """The instants at which it begins and ends."""
        return tuple(
            datetime(day.year, day.month, day.day, tzinfo=UTC)
            for day in (self.start, self.end)
            if day is not None
        )

    @property
    def is_recurring(self) -> bool:
        """Whether it depends on the hour or the weekday."""
        return bool(self.weekdays or self.hours)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an entry was read and where its number comes from."""

    file: str
    line: int
    source: str
    recorded: date

    def __str__(self) -> str:
        return f"{self.source} ({self.recorded})"


@dataclass(frozen=True, slots=True)
class Matcher:
    """Conditions on the columns of a call; each is a set of globs, all must hold."""

    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def matches(self, values: Mapping[str, str | None]) -> bool:
        """Return whether `values` (column → value) fulfils every condition."""
        return all(
            (value := values.get(column)) is not None
            and any(fnmatchcase(value.lower(), glob) for glob in globs)
            for column, globs in self.columns
        )


@dataclass(frozen=True, slots=True)
class Doubt:
    """How far the truth may be from what an entry says, and why that is not known."""

    low: Decimal
    """The least that the true amount can be, in multiples of the amount; 1 or less."""
    high: Decimal
    """The most that it can be; 1 or more."""
    because: str

    def times(self, other: "Doubt | None") -> "Doubt":
        """Return the doubt about an amount that is doubted for two reasons."""
        if other is None:
            return self
        because = f"{self.because}; {other.because}"
        return Doubt(self.low * other.low, self.high * other.high, because)


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """Prices of one model of one provider, over those of the base."""

    provider: str
    model: str
    origin: Origin
    aliases: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    context: tuple[tuple[str, str], ...] = ()
    validity: Validity = Validity()
    prices: Mapping[str, Rate] = field(default_factory=dict)
    minimum: Mapping[str, Decimal] = field(default_factory=dict)
    """The least quantity of a unit that is billed per call."""
    doubt: Doubt | None = None

    @property
    def specificity(self) -> int:
        """How many conditions it states; of two entries the more specific wins."""
        recurring = bool(self.validity.weekdays) + (self.validity.hours is not None)
        return bool(self.region) + len(self.context) + recurring

    def applies(self, region: str | None, context: Mapping[str, str], at: datetime) -> bool:
        """Return whether the entry holds for a call in `region` under `context` at `at`."""
        return (
            (not self.region or region in self.region)
            and all(context.get(key) == value for key, value in self.context)
            and self.validity.covers(at)
        )


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A factor on the token prices of models that run in some region."""

    id: str
    providers: tuple[str, ...]
    models: tuple[str, ...]
    regions: tuple[str, ...]
    multiply: Decimal
    origin: Origin
    of_region: str | None = None
    """Whose price is multiplied, where the base prices regions apart."""
    validity: Validity = Validity()
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A price of its own for spans that match: tools, retrieval, GPU time."""

    id: str
    match: Matcher
    prices: Mapping[str, Rate]
    origin: Origin
    validity: Validity = Validity()
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What a tenant has agreed with the provider, or pays to a reseller."""

    id: str
    tenant: str
    """"*" is every tenant without a contract of its own."""
    origin: Origin
    match: Matcher = Matcher()
    validity: Validity = Validity()
    prices: Mapping[str, Rate] = field(default_factory=dict)
    factor: Decimal = Decimal(1)
    """(1 - discount) x (1 + markup)."""


@dataclass(frozen=True, slots=True)
class PriceFile:
    """The entries of one file, in its order."""

    name: str
    models: tuple[ModelPrices, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    rules: tuple[Rule, ...] = ()
    contracts: tuple[Contract, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    """Model name, or provider/model → provider/model of the book, all in lower case."""
    digest: str = ""


def in_force(entries: Iterable[_Named], at: datetime) -> list[_Named]:
    """Return the `entries` that hold at `at` (UTC), in their order, the first of each id only.

    So the newer of two, or the user's own, takes the place of the other for good and all: not
    only of those calls that both would match.
    """
    found: dict[str, _Named] = {}
    for entry in entries:
        if entry.validity.covers(at):
            found.setdefault(entry.id, entry)
    return list(found.values())
