"""The table of dialects in, the tables of docs/dialects.md out, as Markdown."""

from collections.abc import Iterable, Iterator

from farebox_processor.dialect_model import Dialect, Emitter, Loss, Source
from farebox_processor.dialects import Dialects

__all__ = ["dialect_tables"]


def dialect_tables(dialects: Dialects) -> str:
    """Return one section per dialect: its emitters, and what is read from which attribute.

    What a dialect takes over from the one it extends is not repeated.
    """
    named = {dialect.name: dialect for dialect in dialects.dialects}
    sections = (
        _section(named[name], named.get(named[name].extends or "")) for name in sorted(named)
    )
    return "\n".join(line for section in sections for line in section)


def _section(dialect: Dialect, base: Dialect | None) -> Iterator[str]:
    yield f"### {dialect.name}"
    yield ""
    yield f"{dialect.about}. {_known_by(dialect)}"
    yield ""
    yield "| emitter (scope) | input | loses | blind to |"
    yield "|---|---|---|---|"
    yield from (_emitter(emitter) for emitter in dialect.emitters)
    yield ""
    yield "| read | from, the first that is there |"
    yield "|---|---|"
    for layout in dialect.layouts:
        if base is None or layout not in base.layouts:
            reading = f" ({layout.reading})" if layout.reading else ""
            yield f"| **{layout.name}**{reading} | |"
            yield from (_row(name, sources) for name, sources in layout.quantities.items())
    inherited = {} if base is None else _rows(base)
    for name, sources in _rows(dialect).items():
        own = [source for source in sources if source not in inherited.get(name, ())]
        if own:
            yield _row(name, own)
    if base is not None:
        yield f"| the rest | as {base.name} |"
    yield ""


def _rows(dialect: Dialect) -> dict[str, tuple[Source, ...]]:
    units = {f"unit {name}": sources for name, sources in dialect.units.items()}
    return {**dialect.texts, **units, "cost given": dialect.supplied_cost}


def _known_by(dialect: Dialect) -> str:
    marks = [_code(mark) for mark in dialect.marks]
    if dialect.span_names is not None:
        marks.append(f"a span name like {_code(dialect.span_names)}")
    return (
        f"Without a known scope, told by {' or '.join(marks)}." if marks else "Told by its scope."
    )


def _emitter(emitter: Emitter) -> str:
    scope = "any other" if emitter.scope is None else _code(emitter.scope)
    if emitter.below is not None:
        scope += f" below {'.'.join(map(str, emitter.below))}"
    losses = "; ".join(map(_loss, emitter.losses))
    return f"| {scope} | {emitter.reading or ''} | {losses} | {', '.join(emitter.blind_to)} |"


def _loss(loss: Loss) -> str:
    conditions = [" or ".join(loss.kinds)]
    conditions += [f"without {loss.unless}"] if loss.unless else []
    conditions += [f"of {' or '.join(loss.vendors)}"] if loss.vendors else []
    conditions += ["streamed"] if loss.streaming else []
    conditions += [f"without {_code(key)}" for key in loss.absent]
    conditions += [f"{_code(key)} like {_code(text)}" for key, text in loss.where]
    conditions += [f"{_code(key)} not like {_code(text)}" for key, text in loss.where_not]
    return f"{loss.code} ({', '.join(conditions)})"


def _row(name: str, sources: Iterable[Source]) -> str:
    return f"| {name} | {', '.join(map(_source, sources))} |"


def _source(source: Source) -> str:
    attribute = _code(source.attribute)
    if source.path:
        return f"{attribute} → {_code('.'.join(source.path))}"
    if source.value is not None:
        return f"{attribute} (then {source.value})"
    ways = {
        "": source.pattern,
        "count of ": source.count,
        "count of different ": source.distinct,
        "sum of ": source.sum,
    }
    found = [f"{attribute} → {way}{_code(pattern)}" for way, pattern in ways.items() if pattern]
    return found[0] if found else attribute


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"
