"""The engine's list of functions in, those that a reader may call out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["LIST_FUNCTIONS", "Functions"]

LIST_FUNCTIONS: Final = "SELECT name, alias_to, categories FROM system.functions"

# By the engine's own categories, so that what a later release adds elsewhere is refused: AI calls,
# dictionaries, introspection, encryption.
_CATEGORIES: Final = frozenset(
    {
        "Aggregate Functions",
        "Arithmetic",
        "Arrays",
        "Bit",
        "Bitmap",
        "Comparison",
        "Conditional",
        "Dates and Times",
        "Distance",
        "Encoding",
        "Financial",
        "Hash",
        "IP Address",
        "JSON",
        "Logical",
        "Map",
        "Mathematical",
        "Null",
        "Random Number",
        "Rounding",
        "String",
        "String Replacement",
        "String Search",
        "String Splitting",
        "Time Window",
        "Tuple",
        "Type Conversion",
        "URL",
        "UUID",
    }
)
# Of the category Other, which also holds file(), joinGet(), sleep() and getServerSetting().
_OTHERS: Final = frozenset(
    {
        "bar",
        "countdigits",
        "currentdatabase",
        "currentuser",
        "defaultvalueoftypename",
        "displayname",
        "finalizeaggregation",
        "formatreadabledecimalsize",
        "formatreadablequantity",
        "formatreadablesize",
        "formatreadabletimedelta",
        "identity",
        "ignore",
        "isdecimaloverflow",
        "materialize",
        "neighbor",
        "revision",
        "rownumberinallblocks",
        "rownumberinblock",
        "runningdifference",
        "tocolumntypename",
        "totypename",
        "transform",
        "uptime",
        "version",
    }
)
# The second argument of in() may be the name of a table of any database; formatRow() takes formats
# that read schema files.
_NEVER: Final = re.compile(r"(global)?(not)?(null)?in(ignoreset)?|formatrow(nonewline)?")
_COMBINATORS: Final = re.compile(
    r"(if|array|map|distinct|ordefault|ornull|foreach|resample|state|simplestate|merge|mergestate"
    r"|argmin|argmax)$"
)


@dataclass(frozen=True, slots=True)
class Functions:
    """Names of functions, in lower case, and of aggregates, which take suffixes."""

    allowed: frozenset[str]
    refused: frozenset[str]
    """Functions that exist and may not even be named: arrayMap(file, ...) calls without a call."""
    aggregates: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str]]) -> "Functions":
        """Choose from the rows of LIST_FUNCTIONS."""
        listed: dict[str, tuple[str, str]] = {}
        # An alias may differ from its function in case only: the function comes first.
        for name, alias, kind in sorted(rows, key=lambda row: row[1] != ""):
            listed.setdefault(name.lower(), (alias.lower(), kind))
        allowed = {
            name
            for name, (alias, kind) in listed.items()
            if _is_allowed(alias or name, kind or listed.get(alias, ("", ""))[1])
        }
        aggregates = {n for n in allowed if listed[n][1] == "Aggregate Functions"}
        return cls(frozenset(allowed), frozenset(listed) - allowed, frozenset(aggregates))

    def allows(self, name: str) -> bool:
        """Tell whether the function `name` may be called: sum, sumIf, sumArrayIf."""
        word = name.lower()
        if word in self.allowed:
            return True
        while (base := _COMBINATORS.sub("", word)) != word:
            word = base
            if word in self.aggregates:
                return True
        return False


def _is_allowed(name: str, category: str) -> bool:
    return (category in _CATEGORIES or name in _OTHERS) and not _NEVER.fullmatch(name)
