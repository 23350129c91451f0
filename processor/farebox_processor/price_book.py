"""The price book: the base, the overlays and the contracts, loaded once and never changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from hashlib import sha256
from importlib.resources.abc import Traversable
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

from farebox_processor.errors import PriceBookError
from farebox_processor.price_base import BasePrices, load_base
from farebox_processor.price_entries import (
    Adjustment,
    Contract,
    ModelPrices,
    PriceFile,
    Rate,
    Rule,
    Validity,
)
from farebox_processor.price_files import RULE_COLUMNS, read_price_file
from farebox_schemas import folder

__all__ = ["INVOICING_GATEWAYS", "PriceBook", "load_price_book"]

INVOICING_GATEWAYS: Final = frozenset({"openrouter"})
"""Providers whose supplied cost is the amount they charge, so that it wins over any table."""


@dataclass(frozen=True, eq=False)
class PriceBook:
    """Dated prices in layers: contract over overlay over base."""

    base: BasePrices
    files: tuple[PriceFile, ...]
    """Lowest layer first: those that are shipped, then the user's, in the order given."""
    revision: int = 1
    """Rating revision that the rows of this book carry."""
    trusted: frozenset[str] = INVOICING_GATEWAYS
    """Providers or attribute names whose supplied costs win over the book; "*" is all."""

    @cached_property
    def version(self) -> str:
        """A text that changes if and only if some price or alias may have changed."""
        content = "\n".join((self.base.version, *(file.digest for file in self.files)))
        return f"{self.base.version}+{sha256(content.encode()).hexdigest()[:12]}"

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Model name, or provider/model → provider/model of the book, all in lower case."""
        return {name: model for file in self.files for name, model in file.aliases}

    @cached_property
    def entries(self) -> Mapping[tuple[str, str], tuple[ModelPrices, ...]]:
        """(provider, model) → overlay entries; of those that apply, the last one wins."""
        layered = [(layer, entry) for layer, file in enumerate(self.files) for entry in file.models]
        layered.sort(key=lambda row: (row[0], row[1].specificity, str(row[1].validity.start or "")))
        grouped: dict[tuple[str, str], list[ModelPrices]] = {}
        for _, entry in layered:
            grouped.setdefault((entry.provider, entry.model), []).append(entry)
        return {subject: tuple(entries) for subject, entries in grouped.items()}

    @cached_property
    def names(self) -> Mapping[tuple[str, str], str]:
        """(provider, name) → model, for the models and aliases of overlay entries."""
        return {
            (entry.provider, name): entry.model
            for file in self.files
            for entry in file.models
            for name in (entry.model, *entry.aliases)
        }

    @cached_property
    def sellers(self) -> frozenset[str]:
        """The ids of all providers that some layer knows."""
        return frozenset(self.base.providers) | {seller for seller, _ in self.names}

    @cached_property
    def adjustments(self) -> tuple[Adjustment, ...]:
        """Regional factors, in the order of trial: see `_in_order_of_trial`."""
        return tuple(
            chain.from_iterable(
                _in_order_of_trial(file.adjustments) for file in reversed(self.files)
            )
        )

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """Regions in which some model has another price than elsewhere."""
        named = {region for one in self.adjustments for region in one.regions if "*" not in region}
        return tuple(sorted(named | {"global", "us"}))

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Rules, in the order of trial: see `_in_order_of_trial`."""
        return tuple(
            chain.from_iterable(_in_order_of_trial(file.rules) for file in reversed(self.files))
        )

    @cached_property
    def contracts(self) -> tuple[Contract, ...]:
        """Contracts, the most specific first."""
        found = chain.from_iterable(file.contracts for file in self.files)
        return tuple(
            sorted(
                found,
                key=lambda one: (
                    one.tenant == "*",
                    -len(one.match.columns),
                    -(one.validity.start.toordinal() if one.validity.start else 0),
                ),
            )
        )

    @cached_property
    def rule_columns(self) -> tuple[str, ...]:
        """The columns of a call that some rule looks at."""
        seen = {column for rule in self.rules for column, _ in rule.match.columns}
        seen.add("price_rule")
        return tuple(column for column in RULE_COLUMNS if column in seen)

    @cached_property
    def changes(self) -> tuple[datetime, ...]:
        """Every instant, UTC, ascending, at which some price begins or ends."""
        dates = {change for validity in self._validities for change in validity.changes}
        return tuple(sorted(dates | self.base.changes))

    @cached_property
    def hours(self) -> tuple[time, ...]:
        """Every time of the day, UTC, ascending, at which some price changes."""
        windows = (validity.hours or () for validity in self._validities)
        return tuple(sorted(set(chain.from_iterable(windows)) | self.base.hours))

    @cached_property
    def thresholds(self) -> tuple[int, ...]:
        """Every input size, ascending, above which some price is another."""
        limits = {limit for rate in self._rates for limit, _ in rate.above}
        return tuple(sorted(limits | self.base.thresholds))

    @property
    def _rates(self) -> Iterator[Rate]:
        for file in self.files:
            priced: tuple[ModelPrices | Rule | Contract, ...]
            priced = (*file.models, *file.rules, *file.contracts)
            for entry in priced:
                yield from entry.prices.values()

    @property
    def _validities(self) -> Iterator[Validity]:
        for file in self.files:
            dated: tuple[ModelPrices | Adjustment | Rule | Contract, ...]
            dated = (*file.models, *file.adjustments, *file.rules, *file.contracts)
            for entry in dated:
                yield entry.validity


def load_price_book(
    overlays: Sequence[str | Path] = (),
    contracts: Sequence[str | Path] = (),
    *,
    aliases: Sequence[str | Path] = (),
    revision: int = 1,
    trusted: Iterable[str] = INVOICING_GATEWAYS,
) -> PriceBook:
    """Return the base, the shipped overlays, and the given files on top, in this order.

    All files are of one format; each section of a file says which layer it belongs to.
    Raises PriceBookError that names the file, the line, what was found and what to do.
    """
    shipped = sorted(
        (path for path in folder("prices").iterdir() if path.name.endswith(".yaml")),
        key=lambda path: path.name,
    )
    given = (Path(path) for path in (*overlays, *contracts, *aliases))
    return PriceBook(
        base=load_base(),
        files=(
            *(_read(path, f"shipped/{path.name}") for path in shipped),
            *(_read(path, str(path)) for path in given),
        ),
        revision=revision,
        trusted=frozenset(name.lower() for name in trusted),
    )


_Trial = TypeVar("_Trial", Adjustment, Rule)


def _in_order_of_trial(entries: Sequence[_Trial]) -> list[_Trial]:
    """Return the entries of a file as they stand there; of one id, the one that began last first.

    A new price is a new entry after the old one, which need not say when it ends.
    """
    positions: dict[str, int] = {}
    for entry in entries:
        positions.setdefault(entry.id, len(positions))
    newest_first = sorted(entries, key=lambda one: one.validity.start or date.min, reverse=True)
    return sorted(newest_first, key=lambda one: positions[one.id])


def _read(path: Path | Traversable, name: str) -> PriceFile:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PriceBookError(f"{path}: cannot be read: {error}; correct the path") from error
    return read_price_file(name, content)
