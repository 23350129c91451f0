"""ClickHouse SQL text in, its tokens and statements out: as much lexing as safety needs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from farebox_processor.errors import FareboxError

__all__ = ["SqlTextError", "Token", "split_statements", "tokens"]


class SqlTextError(FareboxError):
    """Text that has no one reading: what stands where, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token: kind is space, comment, string, quoted (identifier), number, name or symbol."""

    kind: str
    text: str


# Outside of strings only ASCII: ClickHouse also takes typographic quotes for quotes. No heredocs
# ($tag$...$tag$) and no # comments, which other parsers read differently. A number takes the point
# after it along, as ClickHouse's does: in `1. SETTINGS` nothing is a name behind a point.
_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^'\\]|\\.|'')*')
    | (?P<quoted>`(?:[^`\\]|``)*`|"(?:[^"\\]|"")*")
    | (?P<number>(?>0x[0-9a-f]+|\d+(?:\.\d*)?(?:e[+-]?\d+)?)(?!\w))
    | (?P<name>[a-z_]\w*)
    | (?P<symbol>::|->|<=|>=|<>|!=|==|\|\||[-(){}\[\],.;:=<>!+*%?]|/(?!\*))
    """,
    re.VERBOSE | re.DOTALL | re.ASCII | re.IGNORECASE,
)


def tokens(sql: str) -> Iterator[Token]:
    """Yield the tokens of `sql`, which together are `sql`; raise SqlTextError at anything else."""
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None or match.lastgroup is None:
            raise SqlTextError(
                f"the statement has an unexpected {sql[position]!r} at character {position + 1};"
                " outside of quotes only plain ASCII SQL is read, and quotes must be closed"
            )
        yield Token(match.lastgroup, match.group())
        position = match.end()


def split_statements(sql: str) -> list[str]:
    """Return the statements of `sql`, with their comments and without their semicolons."""
    statements: list[str] = []
    parts: list[str] = []
    says_something = False
    for token in (*tokens(sql), Token("symbol", ";")):
        if token != Token("symbol", ";"):
            parts.append(token.text)
            says_something |= token.kind not in ("space", "comment")
            continue
        if says_something:
            statements.append("".join(parts).strip())
        parts.clear()
        says_something = False
    return statements
