"""Plan files in, frames of tiers and budgets out, and conversations in, their tiers out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from farebox_processor.errors import PriceBookError
from farebox_processor.frames import BUDGETS, PLAN_TIERS
from farebox_processor.plan_files import DEFAULT, PlanFile, read_plan_file
from farebox_schemas import folder

__all__ = ["Plans", "assign_tiers", "load_plans"]


@dataclass(frozen=True, slots=True)
class Plans:
    """What conversations are sold for: per tenant and feature, else by the default plan."""

    tiers: pl.DataFrame
    """frames.PLAN_TIERS, ordered by plan and position."""
    budgets: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=BUDGETS))
    """frames.BUDGETS, in the order of the files."""


def load_plans(paths: Iterable[Path] = (), extra: Iterable[str] = ()) -> Plans:
    """Read the plan that is shipped and those of `paths`; a plan of the same name replaces it.

    An action may be matched by the configured dimensions `extra` too.

    Raises PriceBookError that names file and line, what was found and what to do.
    """
    shipped: list[Traversable] = sorted(folder("plans").iterdir(), key=lambda file: file.name)
    by_name = {
        plan.plan: plan for plan in (_read(file, tuple(extra)) for file in (*shipped, *paths))
    }
    plans = [by_name[name] for name in sorted(by_name)]
    _refuse_shared_scopes(list(by_name.values()))
    rows = [row for plan in plans for row in _tier_rows(plan, by_name[DEFAULT])]
    return Plans(
        tiers=pl.DataFrame(rows, schema=PLAN_TIERS),
        budgets=pl.DataFrame([row for plan in plans for row in plan.budgets], schema=BUDGETS),
    )


def assign_tiers(conversations: pl.DataFrame, plans: Plans) -> pl.DataFrame:
    """Add plan, tier and tier_price_usd to `conversations`.

    Wants tenant, conversation_id, feature, turns and total_tokens. The plan for tenant and feature
    goes before the tenant's, that before the feature's, that before the default.
    """
    keys = ["tenant", "conversation_id"]
    limits = plans.tiers.select(
        *("plan", "tier", "position", "turns_below", "tokens_below"),
        tenant_of_plan="tenant",
        feature_of_plan="feature",
        tier_price_usd="price_usd",
    )
    fits = (
        conversations.select(*keys, "feature", "turns", "total_tokens")
        .join(limits, how="cross")
        .filter(
            (pl.col("tenant_of_plan") == "") | (pl.col("tenant_of_plan") == pl.col("tenant")),
            (pl.col("feature_of_plan") == "")
            | (pl.col("feature_of_plan") == pl.col("feature").fill_null("")),
            pl.col("turns_below").is_null() | (pl.col("turns") < pl.col("turns_below")),
            pl.col("tokens_below").is_null() | (pl.col("total_tokens") < pl.col("tokens_below")),
        )
        .sort(pl.col("tenant_of_plan") == "", pl.col("feature_of_plan") == "", "position")
        .unique(keys, keep="first", maintain_order=True)
        .select(*keys, "plan", "tier", "tier_price_usd")
    )
    return conversations.join(fits, on=keys, how="left", maintain_order="left")


def _read(file: Traversable | Path, extra: tuple[str, ...]) -> PlanFile:
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PriceBookError(f"{file}: cannot be read: {error}; name a plan in YAML") from error
    return read_plan_file(str(file), content, extra)


def _tier_rows(plan: PlanFile, default: PlanFile) -> Iterator[dict[str, Any]]:
    said = {name: value for name, value in plan.terms.items() if value is not None}
    terms = dict.fromkeys(plan.terms) | {"success_outcomes": []}
    for name in ("success_outcomes", "idle_timeout_s"):
        if default.terms[name] is not None:
            terms[name] = default.terms[name]
    for tier in plan.tiers or default.tiers or []:
        yield {"plan": plan.plan, **plan.scope, **tier, **terms, **said}


def _refuse_shared_scopes(plans: list[PlanFile]) -> None:
    """Refuse two plans for the same conversations: none would be made more closely for them."""
    ordered = sorted(plans, key=lambda plan: tuple(plan.scope.values()))
    for (tenant, feature), group in groupby(ordered, key=lambda plan: tuple(plan.scope.values())):
        sharing = list(group)
        if len(sharing) > 1:
            names = ", ".join(sorted(plan.plan for plan in sharing))
            raise PriceBookError(
                f"{sharing[-1].place}: plans {names} are all for tenant {tenant!r} and feature"
                f" {feature!r}; give each plan its own tenant or feature"
            )
