"""YAML as nobody should write it: damaged files, and trees of the right words at random."""

from collections.abc import Sequence

import yaml
from hypothesis import strategies as st

__all__ = ["damaged", "trees"]

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(),
    st.dates(),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(
        [
            "",
            " ",
            "0",
            "1",
            "-1",
            "1e400",
            "NaN",
            "sNaN",
            "9" * 5000,
            "٣",
            "²",
            "*",
            "[",
            "(",
            "a{9999999999}",
        ]
    ),
    st.sampled_from(["0001-01-01", "9999-12-31", "2026-02-30", "16:30+01:00", "24:00", "99:99"]),
    st.sampled_from(
        ["!!binary x", "!!int x", "!!python/name:os.system", "&a [*a]", "<<", "%", "\t"]
    ),
)
_PIECES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.sampled_from(
        [":", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: ", "!!int ", "\n", "\n  ", "'", '"', "#",
         "---\n", "\x00", "\x07", "\u2028", "\ufeff", "?", "|", "9" * 5000, "2026-13-45", "1:60",
         "[" * 600]
    ),
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, texts: Sequence[str]) -> str:
    """One of `texts` with up to three places cut out and written over."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(_PIECES) + text[end:]
    return text


def trees(words: Sequence[str]) -> st.SearchStrategy[str]:
    """Mappings and lists of any shape whose keys, and some values, are among `words`."""
    keys = st.one_of(st.sampled_from(words), st.text(st.characters(codec="utf-8"), max_size=3))
    leaves = st.one_of(_SCALARS, st.sampled_from(words))
    nested = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=5)
        ),
        max_leaves=12,
    )
    return st.dictionaries(keys, nested, max_size=6).map(
        lambda tree: yaml.safe_dump(tree, allow_unicode=True)
    )
