"""The words of ClickHouse's SQL that a reader of the endpoint may use, beside functions."""

from typing import Final

__all__ = [
    "FORBIDDEN",
    "FOREIGN_DATABASES",
    "FORMATS",
    "KEYWORDS",
    "SYSTEM_TABLES",
    "TABLE_FUNCTIONS",
    "TYPES",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYWORDS: Final = _words("""
    all and any as between by case columns cube distinct else except exists filter from having in
    intersect interval is join like ilike limit not offset on or over prewhere qualify rollup
    select sets then totals union using values when where window with
""")
"""Words that may stand before a parenthesis without calling anything."""

TYPES: Final = _words("""
    array datetime datetime64 decimal decimal32 decimal64 decimal128 decimal256 enum8 enum16
    fixedstring lowcardinality map nullable tuple
""")
"""Types that take arguments."""

TABLE_FUNCTIONS: Final = _words("""
    generate_series generateseries numbers numbers_mt values zeros
""")
"""Those that read nothing."""

SYSTEM_TABLES: Final = _words("""
    columns databases functions numbers one settings tables time_zones
""")
"""What clients ask to find their way."""

FOREIGN_DATABASES: Final = _words("default information_schema")
"""The engine's default database opens any file as a table: default.`/etc/passwd`."""

FORBIDDEN: Final = {
    "settings": "settings are fixed; leave SETTINGS out",
    "into": "results go to the client; leave INTO out",
    "outfile": "results go to the client; leave OUTFILE out",
    "infile": "files are not read",
    "apply": "APPLY is not read; write the columns out",
    "identifier": "names cannot be parameters; write them out",
}
"""Words that are refused wherever they stand, and what to do."""

FORMATS: Final = _words("""
    Native JSON JSONCompact JSONStrings JSONEachRow JSONCompactEachRow JSONCompactStrings
    TabSeparated TabSeparatedRaw TabSeparatedWithNames TabSeparatedWithNamesAndTypes TSV TSVRaw
    TSVWithNames TSVWithNamesAndTypes CSV CSVWithNames CSVWithNamesAndTypes Arrow ArrowStream
    Parquet RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes Values Vertical Markdown
    Pretty PrettyCompact PrettySpace Null
""")
"""Formats that need nothing but the result: some others read schema files."""
