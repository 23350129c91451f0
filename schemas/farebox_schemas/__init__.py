"""The only door to farebox's data files: DDL, prices, plans and dialects."""

from importlib.resources import files
from importlib.resources.abc import Traversable

__all__ = ["folder"]


def folder(name: str) -> Traversable:
    """Return the folder of data files called `name`: clickhouse, prices, plans or dialects."""
    return files(__package__) / name
