"""YAML files in, the table of dialects out: which attribute states what, per emitter of spans.

A dialect is a vocabulary: which attributes hold the tokens, the model, the kind of call. An emitter
is who speaks it, known by instrumentation scope: what it counts, drops and can never show. Both
are data, in farebox_schemas/dialects/*.yaml and in files of the user; nothing here reads a span.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from farebox_processor.dialect_files import read_common, read_dialect, read_layouts
from farebox_processor.dialect_model import (
    DEFAULT,
    Common,
    Dialect,
    Emitter,
    Layout,
    Source,
)
from farebox_processor.errors import ConfigError
from farebox_processor.extra_dimensions import attributes_of
from farebox_schemas import folder

__all__ = ["DEFAULT", "Dialects", "load_dialects"]

_COMMON: Final = "common.yaml"
_LAYOUTS: Final = "layouts.yaml"


@dataclass(frozen=True, slots=True, eq=False)
class Dialects:
    """All dialects, in the order in which they are tried, with what holds for every one of them."""

    common: Common
    dialects: tuple[Dialect, ...]
    emitters: tuple[tuple[Dialect, Emitter], ...]
    """Every emitter with its dialect. Its place here is its number in a batch."""
    keys: tuple[str, ...] = field(init=False)
    """Every attribute that some dialect asks for."""
    number_keys: frozenset[str] = field(init=False)
    """Attributes whose whole value is a count."""
    text_keys: frozenset[str] = field(init=False)
    """Attributes that are read as text, or searched for a value inside of them."""

    def __post_init__(self) -> None:
        sources = list(_sources(self.common, self.dialects))
        numbers = {source.attribute for number, source in sources if number and not source.inside}
        texts = {source.attribute for number, source in sources if not number or source.inside}
        for dialect in self.dialects:
            texts.update(dialect.marks)
            texts.update(key for rule in dialect.kinds for key in rule.absent)
        for _, emitter in self.emitters:
            texts.update(key for loss in emitter.losses for key in loss.asked)
        object.__setattr__(self, "keys", tuple(sorted(numbers | texts)))
        object.__setattr__(self, "number_keys", frozenset(numbers))
        object.__setattr__(self, "text_keys", frozenset(texts))

    def emitter_of(self, scope: str | None, version: str | None) -> int | None:
        """Return the number of the emitter that is known by this scope, None if none is."""
        if scope is None:
            return None
        for number, (_, emitter) in enumerate(self.emitters):
            if emitter.matches(scope, version):
                return number
        return None

    def fallback_of(self, dialect: Dialect) -> int:
        """Return the number of the emitter that stands for spans of `dialect` of unknown scopes."""
        return next(
            number
            for number, (spoken, emitter) in enumerate(self.emitters)
            if spoken is dialect and emitter.scope is None
        )


def load_dialects(
    paths: Sequence[Path | str] = (), extra: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Dialects:
    """Load the dialects that are delivered, and before them those of the files in `paths`.

    `extra` are the configured dimensions, each with the attributes that hold it.

    Raises ConfigError, with file, key, what was found and what is allowed, for a file that cannot
    be used.
    """
    delivered = {
        entry.name: _parse(entry.read_text(encoding="utf-8"), entry.name)
        for entry in sorted(folder("dialects").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }
    common = replace(read_common(delivered.pop(_COMMON), _COMMON), extra=_extra_sources(extra))
    layouts = read_layouts(delivered.pop(_LAYOUTS), _LAYOUTS)
    ours = [read_dialect(tree, file, layouts) for file, tree in delivered.items()]
    own = [read_dialect(_parse(_read(Path(path)), str(path)), str(path), layouts) for path in paths]
    by_name = _by_name(ours, own)
    dialects = tuple(_extended(dialect, by_name) for dialect in by_name.values())
    emitters = tuple((dialect, emitter) for dialect in dialects for emitter in dialect.emitters)
    return Dialects(common=common, dialects=dialects, emitters=emitters)


def _extra_sources(extra: Mapping[str, Sequence[str]]) -> dict[str, tuple[Source, ...]]:
    return {
        name: tuple(Source(attribute) for attribute in attributes_of(name, configured))
        for name, configured in extra.items()
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a readable file of a dialect ({error})") from error


def _parse(text: str, file: str) -> Mapping[str, object]:
    try:
        tree = yaml.safe_load(text)
    # For a value that is not of its tag, or nested too deep, PyYAML raises whatever it comes upon.
    except Exception as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: found {type(tree).__name__}; allowed: a mapping of settings")
    return tree


def _by_name(ours: list[Dialect], own: list[Dialect]) -> dict[str, Dialect]:
    """Return the dialects by name, in order: the user's own, ours, the default one."""
    named: dict[str, Dialect] = {}
    for dialect in (*ours, *own):
        if dialect.name in named:
            raise ConfigError(
                f"{dialect.file}: dialect: found {dialect.name!r}, which "
                f"{named[dialect.name].file} defines; allowed: a name of its own"
            )
        named[dialect.name] = dialect
    default = named.pop(DEFAULT)
    first = {dialect.name: dialect for dialect in own}
    return first | named | {DEFAULT: default}


def _extended(dialect: Dialect, named: Mapping[str, Dialect]) -> Dialect:
    """Return `dialect` with what it takes over from the one it extends, after its own."""
    emitters = dialect.emitters
    if all(emitter.scope is not None for emitter in emitters):
        emitters = (*emitters, Emitter(scope=None))
    if dialect.extends is None:
        return replace(dialect, emitters=emitters)
    if dialect.extends not in named or named[dialect.extends].extends is not None:
        allowed = ", ".join(name for name, other in named.items() if other.extends is None)
        raise ConfigError(f"{dialect.file}: extends: found {dialect.extends!r}; allowed: {allowed}")
    base = named[dialect.extends]
    return replace(
        dialect,
        emitters=emitters,
        kinds=dialect.kinds + base.kinds,
        layouts=dialect.layouts + base.layouts,
        texts=_appended(dialect.texts, base.texts),
        units=_appended(dialect.units, base.units),
        evidence=_appended(dialect.evidence, base.evidence),
        supplied_cost=dialect.supplied_cost + base.supplied_cost,
    )


def _appended(
    own: Mapping[str, tuple[Source, ...]], base: Mapping[str, tuple[Source, ...]]
) -> dict[str, tuple[Source, ...]]:
    names = [*own, *(name for name in base if name not in own)]
    return {name: tuple(dict.fromkeys(own.get(name, ()) + base.get(name, ()))) for name in names}


def _sources(common: Common, dialects: Iterable[Dialect]) -> Iterator[tuple[bool, Source]]:
    """Yield every source with whether it is read as a number."""
    for quantity in common.quantities.values():
        yield from ((True, source) for source in quantity)
    for group in (common.dimensions, common.extra, common.texts):
        yield from ((False, source) for sources in group.values() for source in sources)
    yield from ((False, source) for source in common.supplied_cost)
    for dialect in dialects:
        for layout in dialect.layouts:
            yield from _layout_sources(layout)
        for sources in dialect.units.values():
            yield from ((True, source) for source in sources)
        for group in (dialect.texts, dialect.evidence):
            yield from ((False, source) for sources in group.values() for source in sources)
        yield from ((False, source) for source in dialect.supplied_cost)
        yield from ((False, rule.source) for rule in dialect.kinds if rule.source is not None)


def _layout_sources(layout: Layout) -> Iterator[tuple[bool, Source]]:
    yield from ((False, source) for source in layout.requires)
    for sources in layout.quantities.values():
        yield from ((True, source) for source in sources)
