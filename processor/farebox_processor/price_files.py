"""Turn price files (overlays and contracts in YAML) into checked entries."""

from collections.abc import Hashable, Iterable, Iterator
from decimal import Decimal
from hashlib import sha256
from itertools import groupby, pairwise
from typing import Final

from farebox_processor.price_entries import (
    Adjustment,
    Contract,
    ModelPrices,
    PriceFile,
    Rule,
    Validity,
)
from farebox_processor.price_fields import (
    DATED,
    SOURCED,
    doubt,
    known_unit,
    matcher,
    origin,
    prices,
    validity,
)
from farebox_processor.price_sellers import seller_id
from farebox_processor.price_units import UNIT_NAMES
from farebox_processor.price_yaml import Place, read_yaml

__all__ = ["RULE_COLUMNS", "read_price_file"]

RULE_COLUMNS: Final = (
    "price_rule",
    "tool_name",
    "call_kind",
    "operation",
    "provider",
    "model",
    "service_name",
)
"""Columns of a usage frame that a rule can match; price_rule is `farebox.price.rule`."""

_LISTS: Final[tuple[str, ...]] = ("models", "adjustments", "rules", "contracts")
_PERCENT: Final = Decimal(100)


def read_price_file(name: str, content: str) -> PriceFile:
    """Return the entries of the price file `content`; errors call it `name`.

    Raises PriceBookError with file, line, what was found and what to do.
    """
    sections = read_yaml(name, content).fields(("units", "aliases", *_LISTS), ())
    units = UNIT_NAMES | set(sections["units"].texts() if "units" in sections else ())
    places = {key: sections[key].elements() for key in _LISTS if key in sections}
    file = PriceFile(
        name,
        models=tuple(_model(place, units) for place in places.get("models", ())),
        adjustments=tuple(_adjustment(place) for place in places.get("adjustments", ())),
        rules=tuple(_rule(place, units) for place in places.get("rules", ())),
        contracts=tuple(_contract(place, units) for place in places.get("contracts", ())),
        aliases=tuple(_aliases(sections)),
        digest=sha256(content.encode()).hexdigest(),
    )
    _refuse_overlaps(file, places)
    return file


def _aliases(sections: dict[str, Place]) -> Iterator[tuple[str, str]]:
    for name, place in sections["aliases"].items() if "aliases" in sections else ():
        model = place.text().lower()
        if "/" not in model:
            place.fail(f"found '{model}'", "write provider/model, as openai/gpt-4o")
        provider, _, sold_as = model.partition("/")
        yield name.lower(), f"{seller_id(provider)}/{sold_as}"


def _model(place: Place, units: frozenset[str]) -> ModelPrices:
    conditions = ("region", "context", "weekdays", "hours", *DATED)
    required = ("provider", "model", *SOURCED)
    fields = place.fields(
        (*required, "aliases", "prices", "minimum", "uncertain", *conditions), required
    )
    if not fields.keys() & {"aliases", "prices", "minimum"}:
        place.fail("the entry says nothing", "give prices, a minimum or aliases")
    minimum = dict(fields["minimum"].items()) if "minimum" in fields else {}
    context = dict(fields["context"].items()) if "context" in fields else {}
    return ModelPrices(
        provider=seller_id(fields["provider"].text()),
        model=fields["model"].text().lower(),
        origin=origin(place, fields),
        aliases=fields["aliases"].texts() if "aliases" in fields else (),
        region=fields["region"].texts() if "region" in fields else (),
        context=tuple((key, value.text()) for key, value in context.items()),
        validity=validity(fields),
        prices=prices(fields, units),
        minimum={
            known_unit(value, unit, units): value.decimal() for unit, value in minimum.items()
        },
        doubt=doubt(fields),
    )


def _adjustment(place: Place) -> Adjustment:
    required = ("id", "provider", "models", "region", "multiply", *SOURCED)
    fields = place.fields((*required, "of_region", "uncertain", *DATED), required)
    return Adjustment(
        id=fields["id"].text(),
        providers=fields["provider"].texts(),
        models=fields["models"].texts(),
        regions=fields["region"].texts(),
        multiply=fields["multiply"].decimal(),
        origin=origin(place, fields),
        of_region=fields["of_region"].text().lower() if "of_region" in fields else None,
        validity=validity(fields),
        doubt=doubt(fields),
    )


def _rule(place: Place, units: frozenset[str]) -> Rule:
    required = ("id", "match", "prices", *SOURCED)
    fields = place.fields((*required, "uncertain", *DATED), required)
    return Rule(
        id=fields["id"].text(),
        match=matcher(fields, RULE_COLUMNS),
        prices=prices(fields, units),
        origin=origin(place, fields),
        validity=validity(fields),
        doubt=doubt(fields),
    )


def _contract(place: Place, units: frozenset[str]) -> Contract:
    terms = ("discount_percent", "markup_percent", "prices")
    required = ("id", "tenant", *SOURCED)
    fields = place.fields((*required, "match", *DATED, *terms), required)
    if not fields.keys() & set(terms):
        place.fail("the contract changes nothing", f"give one of {', '.join(terms)}")
    discount = fields["discount_percent"].decimal() if "discount_percent" in fields else Decimal(0)
    if discount > _PERCENT:
        fields["discount_percent"].fail(f"found {discount}", "write a percentage up to 100")
    markup = fields["markup_percent"].decimal() if "markup_percent" in fields else Decimal(0)
    return Contract(
        id=fields["id"].text(),
        tenant=fields["tenant"].text(),
        origin=origin(place, fields),
        match=matcher(fields, ("provider", "model", "price_rule")),
        validity=validity(fields),
        prices=prices(fields, units),
        factor=(1 - discount / _PERCENT) * (1 + markup / _PERCENT),
    )


def _refuse_overlaps(file: PriceFile, places: dict[str, list[Place]]) -> None:
    _refuse_overlap(
        (
            ((entry.provider, entry.model, entry.region, entry.context, *_recurrence(entry)), entry)
            for entry in file.models
        ),
        places.get("models", []),
    )
    _refuse_overlap(
        (((entry.tenant, entry.match), entry) for entry in file.contracts),
        places.get("contracts", []),
    )
    _refuse_overlap(((entry.id, entry) for entry in file.rules), places.get("rules", []))
    _refuse_overlap(
        ((entry.id, entry) for entry in file.adjustments), places.get("adjustments", [])
    )


def _recurrence(entry: ModelPrices) -> tuple[Hashable, ...]:
    return entry.validity.weekdays, entry.validity.hours


def _refuse_overlap(
    entries: Iterable[tuple[Hashable, ModelPrices | Contract | Rule | Adjustment]],
    places: list[Place],
) -> None:
    """Refuse two entries on one subject whose days overlap.

    An entry without `until` ends where the next of its subject begins, so that a new price is a
    new entry and never an edit.
    """
    dated = sorted(
        (
            (repr(subject), str(entry.validity.start or ""), entry.validity, place)
            for (subject, entry), place in zip(entries, places, strict=True)
        ),
        key=lambda row: row[:2],
    )
    for _, group in groupby(dated, key=lambda row: row[0]):
        for (_, _, earlier, first), (_, _, later, second) in pairwise(group):
            if _overlap(earlier, later):
                second.fail(
                    f"its dates overlap with the entry on line {first.line}",
                    "end one with 'until' where the other begins with 'from'",
                )


def _overlap(earlier: Validity, later: Validity) -> bool:
    if earlier.start == later.start:
        return True
    return bool(earlier.end and later.start and later.start < earlier.end)
