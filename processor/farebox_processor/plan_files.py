"""A plan file (YAML) in, the checked plan out."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from farebox_processor.frames import DIMENSIONS
from farebox_processor.price_yaml import Place, read_yaml

__all__ = ["DEFAULT", "PlanFile", "read_plan_file"]

DEFAULT: Final = "default"
"""The plan that gives others the tiers and outcomes that they leave out."""

_KEYS: Final = (
    "plan",
    "tenant",
    "feature",
    "tiers",
    "actions",
    "outcomes",
    "flat_fee_usd",
    "included_conversations",
    "overage_price_usd",
    "idle_timeout_s",
    "budgets",
)
_LONGEST_S: Final = 3_155_760_000
"""Of times in seconds; it fits in 32 bits."""
_CHARGED: Final = ("success", "always")
_SCOPES: Final = ("tenant", "user", "feature")
_PERIODS: Final = ("day", "month")


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What one file says; None where it says nothing and the default plan's holds."""

    place: str
    """File and line, for errors."""
    plan: str
    scope: dict[str, str]
    """The tenant and the feature that the plan is for; "" for any."""
    tiers: list[dict[str, Any]] | None
    terms: dict[str, Any]
    """What frames.PLAN_TIERS repeats on each tier: actions, flat fee, ..."""
    budgets: list[dict[str, Any]]
    """Rows of frames.BUDGETS."""


def read_plan_file(name: str, content: str, extra: tuple[str, ...] = ()) -> PlanFile:
    """Return the plan in `content`; errors call it `name`.

    `extra` are the configured dimensions, by which an action may be matched too.

    Raises PriceBookError with file, line, what was found and what to do.
    """
    root = read_yaml(name, content)
    fields = root.fields(_KEYS, ("plan",))
    plan = fields["plan"].text()
    if "tiers" not in fields and plan == DEFAULT:
        root.fail("'tiers' is missing", "add it: other plans take theirs from this one")
    scope = {key: fields[key].text() if key in fields else "" for key in ("tenant", "feature")}
    return PlanFile(
        place=f"{name}:{root.line}",
        plan=plan,
        scope=scope,
        tiers=_tiers(fields["tiers"]) if "tiers" in fields else None,
        terms={
            "actions": _actions(fields["actions"], (*DIMENSIONS, *extra))
            if "actions" in fields
            else [],
            "success_outcomes": _success_outcomes(fields.get("outcomes")),
            **_flat_fee(fields),
            "idle_timeout_s": _seconds(fields.get("idle_timeout_s")),
        },
        budgets=[
            {"plan": plan, **scope, **_budget(place)}
            for place in (fields["budgets"].elements() if "budgets" in fields else ())
        ],
    )


def _tiers(place: Place) -> list[dict[str, Any]]:
    tiers = [
        {"position": position, **_tier(tier)} for position, tier in enumerate(place.elements())
    ]
    if not tiers:
        place.fail("found no tier", "write at least one, the last without limits")
    if tiers[-1]["turns_below"] or tiers[-1]["tokens_below"]:
        place.elements()[-1].fail(
            "the last tier has a limit", "leave it out: each must have a tier"
        )
    return tiers


def _tier(place: Place) -> dict[str, Any]:
    limits = ("turns_below", "tokens_below")
    fields = place.fields(("tier", "price_usd", *limits), ("tier", "price_usd"))
    return {
        "tier": fields["tier"].text(),
        "price_usd": fields["price_usd"].decimal(),
        **{limit: fields[limit].whole() if limit in fields else None for limit in limits},
    }


def _actions(place: Place, dimensions: tuple[str, ...]) -> list[dict[str, Any]]:
    actions: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in place.elements():
        action = _action(entry, dimensions)
        matched = (action["dimension"], action["value"])
        if matched in actions:
            entry.fail(
                f"'{action['action']}' and '{actions[matched]['action']}' are the same"
                f" conversations, those of {matched[0]} '{matched[1]}'",
                "keep one of them, or give one a 'match' of its own",
            )
        actions[matched] = action
    return list(actions.values())


def _action(place: Place, dimensions: tuple[str, ...]) -> dict[str, Any]:
    required = ("action", "price_usd", "charged")
    fields = place.fields((*required, "match"), required)
    name = fields["action"].text()
    matches = (
        [(key, value.text()) for key, value in fields["match"].fields(dimensions, ()).items()]
        if "match" in fields
        else [("action", name)]
    )
    if len(matches) != 1:
        fields["match"].fail(f"found {len(matches)} conditions", "write one dimension: value")
    [(dimension, value)] = matches
    return {
        "action": name,
        "dimension": dimension,
        "value": value,
        "price_usd": fields["price_usd"].decimal(),
        "charged": _one_of(fields["charged"], _CHARGED),
    }


def _success_outcomes(place: Place | None) -> list[str] | None:
    if place is None:
        return None
    fields = place.fields(("success",), ("success",))
    return sorted({outcome.text() for outcome in fields["success"].elements()})


def _flat_fee(fields: dict[str, Place]) -> dict[str, Decimal | int | None]:
    pair = ("included_conversations", "overage_price_usd")
    given = [key for key in pair if key in fields]
    if given and "flat_fee_usd" not in fields:
        fields[given[0]].fail(f"'{given[0]}' needs a flat fee", "add flat_fee_usd")
    if len(given) == 1:
        [missing] = set(pair) - set(given)
        fields[given[0]].fail(f"'{given[0]}' stands alone", f"add {missing}")
    included, overage = (fields.get(key) for key in pair)
    return {
        "flat_fee_usd": fields["flat_fee_usd"].decimal() if "flat_fee_usd" in fields else None,
        "included_conversations": included.whole() if included else None,
        "overage_price_usd": overage.decimal() if overage else None,
    }


def _seconds(place: Place | None) -> int | None:
    if place is None:
        return None
    seconds = place.whole()
    if seconds > _LONGEST_S:
        place.fail(f"found {seconds}", f"write seconds, at most {_LONGEST_S}: 100 years")
    return seconds


def _budget(place: Place) -> dict[str, Any]:
    required = ("scope", "period", "amount_usd")
    fields = place.fields((*required, "value", "warn_at"), required)
    scope = _one_of(fields["scope"], _SCOPES)
    if scope == "tenant" and "value" in fields:
        fields["value"].fail("a budget of scope tenant has no value", "name the plan's tenant")
    shares = fields["warn_at"].elements() if "warn_at" in fields else []
    return {
        "scope": scope,
        "value": fields["value"].text() if "value" in fields else "",
        "period": _one_of(fields["period"], _PERIODS),
        "amount_usd": fields["amount_usd"].decimal(),
        "warn_at": sorted(_share(share) for share in shares),
    }


def _share(place: Place) -> Decimal:
    share = place.decimal()
    if not 0 < share <= 1:
        place.fail(f"found {share}", 'write a share of the amount above 0 and up to 1, as "0.8"')
    return share


def _one_of(place: Place, choices: tuple[str, ...]) -> str:
    text = place.text()
    if text not in choices:
        place.fail(f"found '{text}'", f"write one of {', '.join(choices)}")
    return text
