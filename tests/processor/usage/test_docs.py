"""The page on dialects says what the files of dialects say."""

from pathlib import Path

from farebox_processor.dialect_docs import dialect_tables
from farebox_processor.dialects import Dialects

PAGE = Path(__file__).parents[3] / "docs" / "dialects.md"


def test_the_page_ends_with_the_tables_of_the_dialects(dialects: Dialects) -> None:
    tables = dialect_tables(dialects)

    written = PAGE.read_text(encoding="utf-8").partition("dialect_tables;")[2].partition("\n\n")[2]
    assert written == tables
