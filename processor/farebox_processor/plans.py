"""Plan files in, a frame of tiers out, and conversations in, their tiers and prices out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from farebox_processor.errors import PriceBookError
from farebox_processor.frames import MONEY
from farebox_schemas import folder

__all__ = ["TIERS", "Plans", "assign_tiers", "load_plans"]

TIERS = {
    "plan": pl.String(),
    "tenant": pl.String(),  # "" for any
    "feature": pl.String(),  # "" for any
    "position": pl.UInt16(),  # the first tier whose limits hold is taken
    "tier": pl.String(),
    "price_usd": MONEY,
    "turns_below": pl.UInt64(),  # null: no limit
    "tokens_below": pl.UInt64(),
}
"""The rows of ClickHouse `plans`."""

_PLAN_KEYS = {"plan", "tenant", "feature", "tiers"}
_TIER_KEYS = {"tier", "price_usd", "turns_below", "tokens_below"}


@dataclass(frozen=True, slots=True)
class Plans:
    """What conversations are sold for: per tenant and feature, else by the default plan."""

    tiers: pl.DataFrame
    """TIERS, ordered by plan and position."""


def load_plans(paths: Iterable[Path] = ()) -> Plans:
    """Read the plan that is shipped and those of `paths`; a plan of the same name replaces it.

    Raises PriceBookError that names the file, what was found and what is expected.
    """
    shipped: list[Traversable] = sorted(folder("plans").iterdir(), key=lambda file: file.name)
    plans: dict[str, list[dict[str, Any]]] = {}
    for file in [*shipped, *paths]:
        rows = _read_plan(file)
        plans[rows[0]["plan"]] = rows
    rows = [row for name in sorted(plans) for row in plans[name]]
    tiers = pl.DataFrame(rows, schema=TIERS)
    scopes = tiers.filter(position=0).group_by("tenant", "feature").agg("plan")
    for tenant, feature, names in scopes.filter(pl.col("plan").list.len() > 1).iter_rows():
        raise PriceBookError(
            f"plans {', '.join(sorted(names))} are all for tenant {tenant!r} and feature"
            f" {feature!r}; give each plan its own tenant or feature"
        )
    return Plans(tiers=tiers)


def assign_tiers(conversations: pl.DataFrame, plans: Plans) -> pl.DataFrame:
    """Add plan, tier, tier_price_usd, margin_usd and recovery_ratio to `conversations`.

    Wants tenant, conversation_id, feature, turns, total_tokens and cost_usd. The plan for tenant
    and feature goes before the tenant's, that before the feature's, that before the default.
    Margin and ratio are null where the cost is not known, the ratio also where it is 0.
    """
    keys = ["tenant", "conversation_id"]
    fits = (
        conversations.select(*keys, "feature", "turns", "total_tokens")
        .join(plans.tiers, how="cross", suffix="_of_plan")
        .filter(
            (pl.col("tenant_of_plan") == "") | (pl.col("tenant_of_plan") == pl.col("tenant")),
            (pl.col("feature_of_plan") == "")
            | (pl.col("feature_of_plan") == pl.col("feature").fill_null("")),
            pl.col("turns_below").is_null() | (pl.col("turns") < pl.col("turns_below")),
            pl.col("tokens_below").is_null() | (pl.col("total_tokens") < pl.col("tokens_below")),
        )
        .sort(pl.col("tenant_of_plan") == "", pl.col("feature_of_plan") == "", "position")
        .unique(keys, keep="first", maintain_order=True)
        .select(*keys, "plan", "tier", tier_price_usd="price_usd")
    )
    return conversations.join(fits, on=keys, how="left", maintain_order="left").with_columns(
        margin_usd=pl.col("tier_price_usd") - pl.col("cost_usd"),
        recovery_ratio=pl.when(pl.col("cost_usd") > 0).then(
            pl.col("tier_price_usd").cast(pl.Float64) / pl.col("cost_usd").cast(pl.Float64)
        ),
    )


def _read_plan(file: Traversable | Path) -> list[dict[str, Any]]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PriceBookError(f"{file}: cannot be read as YAML: {error}") from error
    _check_keys(file, "a plan", content, _PLAN_KEYS, required={"plan", "tiers"})
    tiers = [_read_tier(file, number, tier) for number, tier in enumerate(content["tiers"])]
    if not tiers or tiers[-1]["turns_below"] or tiers[-1]["tokens_below"]:
        raise PriceBookError(f"{file}: the last tier must have no limit, so that each has a tier")
    scope = {name: content.get(name, "") for name in ("tenant", "feature")}
    return [{"plan": content["plan"], **scope, **tier} for tier in tiers]


def _read_tier(file: Traversable | Path, number: int, tier: Any) -> dict[str, Any]:
    where = f"tier {number + 1}"
    _check_keys(file, where, tier, _TIER_KEYS, required={"tier", "price_usd"})
    try:
        price = Decimal(tier["price_usd"]) if isinstance(tier["price_usd"], str) else None
    except InvalidOperation:
        price = None
    if price is None or not price.is_finite() or price < 0:
        raise PriceBookError(
            f"{file}: {where}: price_usd is {tier['price_usd']!r};"
            ' write dollars as a quoted decimal, as in "0.05"'
        )
    for limit in ("turns_below", "tokens_below"):
        if not isinstance(tier.get(limit, 1), int) or tier.get(limit, 1) < 1:
            raise PriceBookError(f"{file}: {where}: {limit} is {tier[limit]!r}; use an integer > 0")
    limits = {limit: tier.get(limit) for limit in ("turns_below", "tokens_below")}
    return {"position": number, "tier": tier["tier"], "price_usd": price, **limits}


def _check_keys(
    file: Traversable | Path, where: str, found: Any, known: set[str], *, required: set[str]
) -> None:
    if not isinstance(found, Mapping):
        raise PriceBookError(f"{file}: {where} must be a mapping with {', '.join(sorted(known))}")
    if unknown := sorted(set(found) - known):
        raise PriceBookError(
            f"{file}: {where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    if missing := sorted(required - set(found)):
        raise PriceBookError(f"{file}: {where}: {missing[0]!r} is missing")
