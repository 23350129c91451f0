"""Read the parts that entries of a price file share: origin, validity, prices, conditions."""

from datetime import time
from difflib import get_close_matches
from typing import Final

import yaml

from farebox_processor.frames import TOKENS
from farebox_processor.price_entries import Doubt, Matcher, Origin, Rate, Validity
from farebox_processor.price_units import TOKENS_PER_PRICE, is_token_quantity
from farebox_processor.price_yaml import Place

__all__ = ["DATED", "SOURCED", "doubt", "known_unit", "matcher", "origin", "prices", "validity"]

DATED: Final = ("from", "until")
"""Keys of the days between which an entry holds."""
SOURCED: Final = ("source", "recorded")
"""Keys that say where a number comes from; every entry has them."""

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def origin(place: Place, fields: dict[str, Place]) -> Origin:
    """Return where the entry stands and what it cites."""
    return Origin(place.file, place.line, fields["source"].text(), fields["recorded"].day())


def matcher(fields: dict[str, Place], columns: tuple[str, ...]) -> Matcher:
    """Return the conditions under `match`, each on one of `columns`."""
    if "match" not in fields:
        return Matcher()
    conditions = fields["match"].fields(columns, ())
    return Matcher(tuple((name, value.texts()) for name, value in conditions.items()))


def doubt(fields: dict[str, Place]) -> Doubt | None:
    """Return what `uncertain` says; null if the entry is certain."""
    if "uncertain" not in fields:
        return None
    required = ("low", "high", "because")
    parts = fields["uncertain"].fields(required, required)
    low, high = parts["low"].decimal(), parts["high"].decimal()
    if not low <= 1 <= high:
        advice = 'write multiples of the price around it, as low: "0.5", high: "2"'
        fields["uncertain"].fail(f"found low {low} and high {high}", advice)
    return Doubt(low, high, parts["because"].text())


def validity(fields: dict[str, Place]) -> Validity:
    """Return when the entry holds."""
    start = fields["from"].day() if "from" in fields else None
    end = fields["until"].day() if "until" in fields else None
    if start and end and end <= start:
        fields["until"].fail(f"{end} is not after 'from' {start}", "correct the dates")
    return Validity(start, end, _weekdays(fields), _hours(fields))


def prices(fields: dict[str, Place], units: frozenset[str]) -> dict[str, Rate]:
    """Return the price of each quantity under `prices`; {} if the entry has none."""
    if "prices" not in fields:
        return {}
    items = dict(fields["prices"].items())
    return {known_unit(place, name, units): _rate(place, name) for name, place in items.items()}


def known_unit(place: Place, name: str, units: frozenset[str]) -> str:
    """Return `name` if it is a token quantity or one of `units`, else refuse it."""
    known = (*TOKENS, *sorted(units))
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        place.fail(f"unknown unit '{name}'", f"{hint}known units: {', '.join(known)}")
    return name


def _weekdays(fields: dict[str, Place]) -> frozenset[int]:
    names = fields["weekdays"].texts() if "weekdays" in fields else ()
    for name in names:
        if name not in _WEEKDAYS:
            fields["weekdays"].fail(f"unknown weekday '{name}'", f"known: {', '.join(_WEEKDAYS)}")
    return frozenset(_WEEKDAYS.index(name) for name in names)


def _hours(fields: dict[str, Place]) -> tuple[time, time] | None:
    if "hours" not in fields:
        return None
    ends = fields["hours"].elements()
    if len(ends) != 2:
        fields["hours"].fail(f"found {len(ends)} times", 'write two, as ["01:00", "04:00"]')
    return ends[0].clock(), ends[1].clock()


def _rate(place: Place, quantity: str) -> Rate:
    usual = TOKENS_PER_PRICE if is_token_quantity(quantity) else 1
    if isinstance(place.node, yaml.ScalarNode):
        return Rate(place.decimal(), usual)
    fields = place.fields(("usd", "per", "above", "at_least"), ("usd",))
    # Token counts are whole, so that "at least n" is "above n - 1".
    steps = [
        (step.whole_key() - less, step.decimal())
        for key, less in (("above", 0), ("at_least", 1))
        for _, step in (fields[key].items() if key in fields else ())
    ]
    per = fields["per"].whole() if "per" in fields else usual
    return Rate(fields["usd"].decimal(), per, tuple(sorted(steps)))
