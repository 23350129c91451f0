"""Attributes as tests think of them: one after another, each with its row, key and value."""

import polars as pl

from farebox_processor.attribute_columns import Attributes

__all__ = ["long"]


def long(attributes: Attributes) -> pl.DataFrame:
    """Return row, key and the columns of frames.ATTRIBUTES, an attribute per row."""
    carried = attributes.different.select(pl.all().gather(attributes.which))
    return carried.select(
        pl.Series("row", attributes.rows),
        attributes.keys.gather(carried["key_id"]).alias("key"),
        pl.exclude("key_id"),
    )
