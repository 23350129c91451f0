"""farebox/attributes.py in, docs/attributes.md out: `python -m support.attribute_docs`."""

import ast
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

_INTRODUCTION = """# Attributes

Every attribute that farebox writes or reads by name, generated from `farebox/attributes.py`.
How the spans of other instrumentations are read stands in `farebox_schemas/dialects`.
"""


def attribute_docs() -> str:
    """Return the text of docs/attributes.md."""
    spec = find_spec("farebox.attributes")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    lines = [_INTRODUCTION]
    heading = None
    for section, name, meaning in _attributes(source):
        if section != heading:
            heading = section
            lines.append(f"\n## {section}\n\n| attribute | meaning |\n| --- | --- |")
        lines.append(f"| `{name}` | {meaning} |")
    return "\n".join(lines) + "\n"


def _attributes(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, name and meaning of each constant, in the order of the module."""
    sections = {
        number: line.strip("#- ").capitalize()
        for number, line in enumerate(source.splitlines(), 1)
        if line.startswith("# --- ")
    }
    body = ast.parse(source).body
    for constant, docstring in pairwise(body):
        if isinstance(constant, ast.AnnAssign) and isinstance(constant.value, ast.Constant):
            assert isinstance(docstring, ast.Expr)
            assert isinstance(docstring.value, ast.Constant)
            begun = max(number for number in sections if number < constant.lineno)
            meaning = " ".join(str(docstring.value.value).split())
            yield sections[begun], str(constant.value.value), meaning


if __name__ == "__main__":
    sys.stdout.write(attribute_docs())
