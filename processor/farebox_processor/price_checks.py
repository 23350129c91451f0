"""Say of price files whether they can be used: paths in, one row per file out."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from farebox_processor.errors import PriceBookError
from farebox_processor.price_files import read_price_file

__all__ = ["check_files"]


def check_files(paths: Sequence[Path]) -> pl.DataFrame:
    """Return file, entries and error (null: none) of each price file."""
    schema = {"file": pl.String(), "entries": pl.UInt32(), "error": pl.String()}
    return pl.DataFrame([_checked(path) for path in paths], schema=schema, orient="row")


def _checked(path: Path) -> tuple[str, int | None, str | None]:
    try:
        file = read_price_file(str(path), path.read_text(encoding="utf-8"))
    except PriceBookError as error:
        return str(path), None, str(error)
    except (OSError, UnicodeDecodeError) as error:
        return str(path), None, f"{path}: cannot be read: {error}; name a file of prices in YAML"
    parts = (file.models, file.adjustments, file.rules, file.contracts, file.aliases)
    return str(path), sum(len(part) for part in parts), None
