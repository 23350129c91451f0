"""A file of shared costs (YAML or CSV) in, the checked costs out."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import yaml

from farebox_processor.errors import PriceBookError
from farebox_processor.frames import DIMENSIONS, TOKENS
from farebox_processor.price_yaml import Place, read_yaml

__all__ = ["ALLOCATED_BY", "SharedCost", "read_shared_costs"]

ALLOCATED_BY: Final = ("conversations", "cost_usd", "total_tokens", *TOKENS)
"""What a shared cost can be allocated by."""

_FILTERS: Final = ("tenant", "model", *DIMENSIONS)
_REQUIRED: Final = ("id", "amount_usd", "from", "until", "by")
_OPTIONAL: Final = ("where", "shares", "unallocated_share", "capacity")
_CSV_COLUMNS: Final = (*_REQUIRED, "unallocated_share", "capacity")
_DIGITS: Final = 18
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2200
"""What ClickHouse can compare the times of calls with."""
_TEXT: Final = "tag:yaml.org,2002:str"
_MAP: Final = "tag:yaml.org,2002:map"


@dataclass(frozen=True, slots=True)
class SharedCost:
    """An amount that no single call caused, and the rule by which conversations bear it."""

    id: str
    amount_usd: Decimal
    starts: datetime
    ends: datetime
    """Calls count that started within; `ends` is excluded. Both are in UTC."""
    by: str
    """One of ALLOCATED_BY."""
    where: tuple[tuple[str, str], ...] = ()
    """Columns and the values they must have for a call to count."""
    dimension: str | None = None
    """What `shares` are of; None: of everything that counts."""
    shares: tuple[tuple[str | None, Decimal], ...] = ((None, Decimal(1)),)
    """Which part goes to each value of the dimension; what is missing to 1 is allocated to nobody.
    """
    capacity: int | None = None
    """How much of `by` the amount pays for; what was not used of it is allocated to nobody."""


def read_shared_costs(path: Path, extra: tuple[str, ...] = ()) -> list[SharedCost]:
    """Read the costs of a .yaml or .csv file; `extra` are the configured dimensions.

    Raises PriceBookError with file, line, what was found and what to do.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PriceBookError(f"{path}: cannot be read: {error}; name a YAML or CSV file") from error
    if path.suffix == ".csv":
        places = list(_csv_places(str(path), content, (*_FILTERS, *extra)))
    else:
        root = read_yaml(str(path), content).fields(("allocations",), ("allocations",))
        places = root["allocations"].elements()
    costs: dict[str, SharedCost] = {}
    for place in places:
        cost = _shared_cost(place, extra)
        if cost.id in costs:
            place.fail(f"'{cost.id}' is given twice", "give each allocation an id of its own")
        costs[cost.id] = cost
    return list(costs.values())


def _csv_places(name: str, content: str, filters: tuple[str, ...]) -> Iterator[Place]:
    """Yield each row as the mapping that YAML would have; empty cells are left out."""
    reader = csv.reader(content.splitlines())
    header = next(reader, [])
    if not header:
        raise PriceBookError(f"{name}:1: the file is empty; write the names of the columns first")
    mark = yaml.Mark(name, 0, 0, 0, None, 0)
    Place(name, "", _mapping({column: "" for column in header}, mark)).fields(
        (*_CSV_COLUMNS, *filters), ()
    )
    for cells in filter(None, reader):
        line = yaml.Mark(name, 0, reader.line_num - 1, 0, None, 0)
        filled = {column: cell for column, cell in zip(header, cells, strict=False) if cell.strip()}
        where = {column: cell for column, cell in filled.items() if column in filters}
        node = _mapping({key: cell for key, cell in filled.items() if key not in where}, line)
        if where:
            node.value.append((yaml.ScalarNode(_TEXT, "where", line), _mapping(where, line)))
        place = Place(name, f"row {reader.line_num}", node)
        if len(cells) != len(header):
            place.fail(f"found {len(cells)} cells", f"write {len(header)}, as in the first line")
        yield place


def _mapping(cells: dict[str, str], mark: yaml.Mark) -> yaml.MappingNode:
    pairs = [
        (yaml.ScalarNode(_TEXT, key, mark), yaml.ScalarNode(_TEXT, cell, mark))
        for key, cell in cells.items()
    ]
    return yaml.MappingNode(_MAP, pairs, mark)


def _shared_cost(place: Place, extra: tuple[str, ...]) -> SharedCost:
    fields = place.fields((*_REQUIRED, *_OPTIONAL), _REQUIRED)
    starts, ends = _moment(fields["from"]), _moment(fields["until"])
    if ends <= starts:
        fields["until"].fail(f"{ends} is not after 'from' {starts}", "correct the times")
    by = fields["by"].text()
    if by not in ALLOCATED_BY:
        fields["by"].fail(f"found '{by}'", f"write one of {', '.join(ALLOCATED_BY)}")
    where = fields["where"].fields((*_FILTERS, *extra), ()) if "where" in fields else {}
    dimension, shares = _shares(fields, ("tenant", *DIMENSIONS, *extra))
    if "capacity" in fields and "shares" in fields:
        fields["capacity"].fail("found capacity beside shares", "write an allocation for each")
    return SharedCost(
        id=fields["id"].text(),
        amount_usd=_amount(fields["amount_usd"]),
        starts=starts,
        ends=ends,
        by=by,
        where=tuple((name, value.text()) for name, value in where.items()),
        dimension=dimension,
        shares=shares,
        capacity=fields["capacity"].whole() if "capacity" in fields else None,
    )


def _shares(
    fields: dict[str, Place], allowed: tuple[str, ...]
) -> tuple[str | None, tuple[tuple[str | None, Decimal], ...]]:
    unallocated = _amount(fields["unallocated_share"]) if "unallocated_share" in fields else 0
    if "shares" not in fields:
        if unallocated > 1:
            fields["unallocated_share"].fail(f"found {unallocated}", "write a share up to 1")
        return None, ((None, 1 - Decimal(unallocated)),)
    if unallocated:
        fields["unallocated_share"].fail(
            "found unallocated_share beside shares", "leave it out: what is missing to 1 is it"
        )
    dimensions = list(fields["shares"].fields(allowed, ()).items())
    if len(dimensions) != 1:
        fields["shares"].fail(f"found {len(dimensions)} dimensions", "write one, with its shares")
    [(dimension, place)] = dimensions
    shares = tuple((value, _amount(share)) for value, share in place.items())
    if (total := sum(share for _, share in shares)) > 1:
        place.fail(f"the shares sum to {total}", "write shares that sum to 1 or less")
    return dimension, shares


def _amount(place: Place) -> Decimal:
    amount = place.decimal()
    if amount != round(amount, _DIGITS):
        place.fail(f"found {amount}", f"write at most {_DIGITS} digits after the point")
    return amount


def _moment(place: Place) -> datetime:
    try:
        moment = datetime.fromisoformat(place.text())
    except ValueError:
        place.fail(f"found '{place.text()}'", "write a date or a time, as 2026-11-21T10:00:00Z")
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        place.fail(f"found {moment}", f"write a time from {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
