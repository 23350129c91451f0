"""Attributes of spans and resources in, what a cost is grouped by out, whatever the dialect."""

from typing import Final

import polars as pl

from farebox_processor.attribute_columns import texts
from farebox_processor.dialect_model import DIMENSION_NAMES, Common
from farebox_processor.usage_cells import Wide
from farebox_processor.usage_sources import NO_TEXT, text

__all__ = ["read_dimensions"]

LONGEST_ID: Final = 256
"""Characters that are kept of an id; longer ones are nobody's id, and would fill the keys."""


def read_dimensions(
    wide: Wide, resources: pl.DataFrame, resource_rows: pl.Series, common: Common
) -> pl.DataFrame:
    """Return conversation, turn, user and the other dimensions of frames.USAGE.

    `resources` are the long attributes of the resources, `resource_rows` the resource of each span.
    """
    read = {name: text(common.dimensions.get(name, ()), wide) for name in DIMENSION_NAMES}
    columns = {name: NO_TEXT if found is None else found for name, found in read.items()}
    columns["conversation_ended"] = columns["conversation_ended"].str.to_lowercase() == "true"
    dimensions = wide.cells.with_columns(**columns).select(*columns)
    of_resource = _of_resources(resources, resource_rows, common)
    return dimensions.hstack(of_resource).with_columns(
        environment=pl.coalesce("environment", "resource_environment"),
        conversation_ended=pl.col("conversation_ended").fill_null(False),
        conversation_id=pl.col("conversation_id").str.head(LONGEST_ID),
        resource_conversation_id=pl.col("resource_conversation_id").str.head(LONGEST_ID),
    )


def _of_resources(resources: pl.DataFrame, rows: pl.Series, common: Common) -> pl.DataFrame:
    height = (rows.max() or 0) + 1 if len(rows) else 0
    keys = sorted({key for keys in common.resource.values() for key in keys})
    held = texts(resources, height, keys)
    columns = {
        f"resource_{name}": pl.coalesce(
            pl.when(pl.col(key) != "").then(pl.col(key)) for key in keys
        )
        for name, keys in common.resource.items()
    }
    return held.select(**columns)[rows]
