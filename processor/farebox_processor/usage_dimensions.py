"""Attributes of spans and resources in, what a cost is grouped by out, whatever the dialect."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import polars as pl

from farebox_processor.attribute_columns import Attributes, texts
from farebox_processor.dialect_model import DIMENSION_NAMES, Common
from farebox_processor.extra_dimensions import mapped
from farebox_processor.folded import gathered
from farebox_processor.usage_cells import IS_FAILED, Held, Wide
from farebox_processor.usage_columns import NO_TEXT, SHAPES, Step, apply
from farebox_processor.usage_sources import text

__all__ = ["read_dimensions"]

LONGEST_ID: Final = 256
"""Characters that are kept of an id; longer ones are nobody's id, and would fill the keys."""
LONGEST_EXTRA: Final = 256
"""Characters that are kept of a configured dimension: which attribute holds it is anyone's choice.
"""


def read_dimensions(
    wide: Wide, resources: Attributes, resource_rows: pl.Series, common: Common
) -> pl.DataFrame:
    """Return conversation, turn, user and the other dimensions of frames.USAGE.

    `resources` are the attributes of the resources, `resource_rows` the resource of each span.
    """
    columns = _columns(common, wide.held)
    of_resource = _of_resources(resources, resource_rows, common.resource)
    told = pl.concat([wide.cells.select(**columns).unfold(), of_resource], how="horizontal")
    read = apply(told, [_COMPLETED])
    if not common.extra:
        return read.with_columns(mapped(pl.DataFrame()))
    return read.with_columns(mapped(_extra_dimensions(wide, resources, resource_rows, common)))


_COMPLETED: Final[Step] = {
    "environment": pl.coalesce("environment", "resource_environment"),
    "conversation_ended": pl.col("conversation_ended").fill_null(False),
    "tenant_id": pl.coalesce("tenant_id", "resource_tenant_id", pl.lit("")).str.head(LONGEST_ID),
    "conversation_id": pl.col("conversation_id").str.head(LONGEST_ID),
    "resource_conversation_id": pl.col("resource_conversation_id").str.head(LONGEST_ID),
}


@lru_cache(maxsize=SHAPES)
def _columns(common: Common, held: Held) -> dict[str, pl.Expr]:
    read = {name: text(common.dimensions.get(name, ()), held) for name in DIMENSION_NAMES}
    columns = {name: NO_TEXT if found is None else found for name, found in read.items()}
    ended = columns["conversation_ended"].str.to_lowercase() == "true"
    # A column of the frame makes the result as long as it, whatever else is null.
    return columns | {"conversation_ended": ended, "is_failed": pl.col(IS_FAILED)}


def _extra_dimensions(
    wide: Wide, resources: Attributes, rows: pl.Series, common: Common
) -> pl.DataFrame:
    """Return the configured dimensions by their names: what the span says, else its resource."""
    keys = {name: tuple(each.attribute for each in said) for name, said in common.extra.items()}
    of_resources = _of_resources(resources, rows, keys)
    found = {name: text(said, wide.held) for name, said in common.extra.items()}
    columns = {name: NO_TEXT if read is None else read for name, read in found.items()}
    of_spans = wide.cells.select(**columns).unfold()
    told = of_spans.hstack(of_resources).select(
        pl.coalesce(name, f"resource_{name}").str.head(LONGEST_EXTRA).alias(name)
        for name in common.extra
    )
    return told.select(column.name for column in told if column.null_count() < told.height)


def _of_resources(
    resources: Attributes, rows: pl.Series, wanted: Mapping[str, tuple[str, ...]]
) -> pl.DataFrame:
    """Return resource_* per span: read once per resource, then looked up."""
    # A resource may say something and have no span that was taken.
    height = 1 + int(max(each.max(initial=0) for each in (rows.to_numpy(), resources.rows)))
    keys = sorted({key for keys in wanted.values() for key in keys})
    held = texts(resources, height, keys).select(
        pl.coalesce(asked).alias(f"resource_{name}") for name, asked in wanted.items()
    )
    return gathered(rows.to_frame(), held, rows).drop(rows.name)
