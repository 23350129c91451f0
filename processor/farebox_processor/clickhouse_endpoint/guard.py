"""A statement of a stranger in, the same statement out if it only reads farebox's own tables.

Two readings must agree. The tokens are checked one by one: which functions, which words. Then a
parser must find one query, and every table in it must be one of ours. What either does not
understand is refused.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from farebox_processor.clickhouse_endpoint.functions import Functions
from farebox_processor.clickhouse_endpoint.refusal import StatementRefusedError
from farebox_processor.clickhouse_endpoint.vocabulary import (
    FORBIDDEN,
    FOREIGN_DATABASES,
    FORMATS,
    KEYWORDS,
    SYSTEM_TABLES,
    TABLE_FUNCTIONS,
    TYPES,
)
from farebox_processor.store.sql_text import SqlTextError, Token, tokens

__all__ = ["Guard", "Statement"]

_SYNTAX_ERROR: Final = 62
_CHARACTERS: Final = 16_384
_NESTED: Final = 60

_NAME: Final = r"(?:[a-z_]\w*|`[^`]+`|\"[^\"]+\")"
_TABLE: Final = rf"(?:(?P<database>{_NAME}) \. )?(?P<table>{_NAME})"
# What describes tables, as its tokens with one space between.
_DESCRIPTIONS: Final = re.compile(
    rf"show databases|show tables(?: (?:from|in) (?P<shown>{_NAME}))?(?: i?like '[^'\\]*')?"
    rf"|(?:show create(?: table| view)?|exists(?: table| view)?|desc(?:ribe)?(?: table)?) {_TABLE}",
    re.IGNORECASE | re.ASCII,
)
_EXPLAIN: Final = re.compile(
    r"\s*explain(?:\s+(?:ast|syntax|plan|pipeline|estimate|query\s+tree))?(?=\s)",
    re.IGNORECASE | re.ASCII,
)
_QUERY: Final = re.compile(r"\s*(?:\(|(?:select|with)\b)", re.IGNORECASE | re.ASCII)
_ONLY_QUERIES: Final = "only SELECT, WITH, SHOW, DESCRIBE, EXISTS and EXPLAIN are answered here"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that may run, without comments, and the format of its result."""

    text: str
    format: str


class Guard:
    """Admits statements that read `database`, a few tables of `system`, and nothing else."""

    def __init__(self, database: str, functions: Functions) -> None:
        self._database = database
        self._functions = functions

    def admit(self, sql: str, default_format: str) -> Statement:
        """Return `sql` as it may be run; raise StatementRefusedError with what to do otherwise."""
        if len(sql) > _CHARACTERS:
            raise StatementRefusedError(f"the statement is longer than {_CHARACTERS} characters")
        try:
            # A comment parts two words as a space does: arrayMap(fi/**/le, ...) must not join.
            said = [Token("space", " ") if _parts(token) else token for token in tokens(sql)]
        except SqlTextError as error:
            raise StatementRefusedError(str(error), code=_SYNTAX_ERROR) from error
        said, result_format = _without_format(said, default_format)
        if result_format not in FORMATS:
            raise StatementRefusedError(
                f"format {result_format} is not answered; use one of {', '.join(sorted(FORMATS))}"
            )
        significant = [token for token in said if token.kind != "space"]
        text = "".join(token.text for token in said).strip()
        description = _DESCRIPTIONS.fullmatch(" ".join(token.text for token in significant))
        if description:
            self._check_description(description)
        else:
            self._check_words(significant)
            self._check_tables(_EXPLAIN.sub("", text))
        return Statement(text, result_format)

    def _check_description(self, described: re.Match[str]) -> None:
        database, table = described["database"] or described["shown"], described["table"]
        if database or table:
            self._check_table(_unquoted(database or ""), _unquoted(table) if table else None)

    def _check_words(self, words: list[Token]) -> None:
        start = Token("symbol", "")
        depth = 0
        for before, token in pairwise([start, *words]):
            depth += (token.text in "([{") - (token.text in ")]}") if token.text else 0
            if depth > _NESTED:
                raise StatementRefusedError(f"the statement is nested deeper than {_NESTED}")
            if token.text == ";":
                raise StatementRefusedError("one statement at a time; leave the semicolon out")
            if token.kind in ("name", "quoted"):
                self._check_word(before, token)
            elif token.text == "(" and before.kind in ("name", "quoted"):
                self._check_call(before)

    def _check_word(self, before: Token, token: Token) -> None:
        word = _unquoted(token.text).lower()
        after_dot = before.text == "."
        if token.kind == "name" and word in FORBIDDEN and not after_dot:
            raise StatementRefusedError(FORBIDDEN[word])
        if word in self._functions.refused and not after_dot and word not in KEYWORDS:
            raise StatementRefusedError(
                f"{token.text} is a function that may not be used here, nor its name"
            )

    def _check_call(self, token: Token) -> None:
        word = _unquoted(token.text).lower()
        is_syntax = token.kind == "name" and (word in KEYWORDS or word in TYPES)
        if not (is_syntax or word in TABLE_FUNCTIONS or self._functions.allows(word)):
            raise StatementRefusedError(f"the function {token.text} may not be used here")

    def _check_tables(self, text: str) -> None:
        if not _QUERY.match(text):
            raise StatementRefusedError(_ONLY_QUERIES)
        try:
            parsed = sqlglot.parse(text, dialect="clickhouse")
        except (SqlglotError, RecursionError) as error:
            raise StatementRefusedError(
                "the statement is not understood well enough to be let through; write it in"
                f" plainer SQL ({' '.join(str(error).split())[:200]})",
                code=_SYNTAX_ERROR,
            ) from error
        if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
            raise StatementRefusedError(_ONLY_QUERIES)
        for node in parsed[0].walk():
            self._check_node(node)

    def _check_node(self, node: exp.Expr) -> None:
        if isinstance(node, exp.Command):
            raise StatementRefusedError(f"{node.name} is not answered here")
        if isinstance(node, exp.Table):
            # The name of a table function was checked with the calls.
            if not isinstance(node.this, exp.Func):
                if not isinstance(node.this, exp.Identifier) or node.catalog:
                    raise StatementRefusedError("a table must be written as database.table")
                self._check_table(node.db, node.name)
        elif isinstance(node, exp.In):
            # x IN y, x IN (y): y may be the name of a table.
            named = [node.args.get("field"), *node.expressions]
            for column in named:
                if isinstance(column, exp.Column) and column.table:
                    self._check_in(column)
        elif isinstance(node, exp.Column) and _foreign(node):
            raise StatementRefusedError(f"the database {node.parts[0].name} is not shown here")

    def _check_in(self, column: exp.Column) -> None:
        if column.db or column.table != self._database:
            raise StatementRefusedError("what stands after IN must be a list or a subquery")

    def _check_table(self, database: str, table: str | None) -> None:
        # No table of ours needs quotes; names of files do.
        if table is not None and not table.isidentifier():
            raise StatementRefusedError(f"there is no table {table!r} here")
        if database in ("", self._database):
            return
        if database == "system" and table is not None and table in SYSTEM_TABLES:
            return
        named = f"{database}.{table}" if table else database
        raise StatementRefusedError(
            f"{named} is not shown here; read the tables of {self._database} and, of system,"
            f" {', '.join(sorted(SYSTEM_TABLES))}"
        )


def _parts(token: Token) -> bool:
    return token.kind in ("space", "comment")


def _foreign(column: exp.Column) -> bool:
    return len(column.parts) > 1 and column.parts[0].name.lower() in FOREIGN_DATABASES


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0]) if text[:1] in ("`", '"') else text


def _without_format(said: list[Token], default_format: str) -> tuple[list[Token], str]:
    """Return the tokens without a semicolon and FORMAT at the end, and the format."""
    positions = [place for place, token in enumerate(said) if token.kind != "space"]
    if positions and said[positions[-1]].text == ";":
        said, positions = said[: positions[-1]], positions[:-1]
    if len(positions) > 2 and said[positions[-2]].text.lower() == "format":
        return said[: positions[-2]], said[positions[-1]].text
    return said, default_format
