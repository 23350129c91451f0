"""A parsed YAML tree in, one checked dialect out: what a file may say, and what is wrong with it.

Every mistake is a ConfigError that names the file, the key, what was found and what is allowed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

import polars as pl
from polars.exceptions import PolarsError

from farebox_processor.dialect_model import (
    BLINDNESSES,
    DIMENSION_NAMES,
    KINDS,
    NO_CALL,
    QUANTITIES,
    READINGS,
    TEXTS,
    VENDORS,
    Common,
    Dialect,
    Emitter,
    KindRule,
    Layout,
    Loss,
    Source,
    release,
)
from farebox_processor.errors import ConfigError
from farebox_processor.verdicts import Uncertainty

__all__ = ["Tree", "read_common", "read_dialect", "read_layouts"]

Tree: TypeAlias = Mapping[str, object]

_COMMON_KEYS: Final = (
    "dimensions",
    "resource",
    "quantities",
    "texts",
    "supplied_cost",
    "providers",
    "operations",
)
_DIALECT_KEYS: Final = (
    "dialect",
    "about",
    "extends",
    "marks",
    "span_names",
    "emitters",
    "kind",
    "layouts",
    "texts",
    "units",
    "evidence",
    "supplied_cost",
)
_SOURCE_KEYS: Final = ("attribute", "pattern", "value", "count", "sum")
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a file, which reads what stands there or says what is wrong with it."""

    file: str
    path: str = ""

    def key(self, name: str) -> "_At":
        return _At(self.file, f"{self.path}.{name}" if self.path else name)

    def refuse(self, found: object, allowed: str) -> NoReturn:
        raise ConfigError(f"{self.file}: {self.path}: found {found!r}; allowed: {allowed}")

    def text(self, found: object) -> str:
        if not isinstance(found, str) or not found:
            self.refuse(found, "a text")
        return found

    def texts(self, found: object) -> tuple[str, ...]:
        return tuple(at.text(item) for at, item in self.items(found))

    def texts_by_name(self, found: object) -> dict[str, str]:
        return {name: self.key(name).text(item) for name, item in self.mapping(found).items()}

    def flag(self, found: object) -> bool:
        if not isinstance(found, bool):
            self.refuse(found, "true, false")
        return found

    def one_of(self, found: object, allowed: tuple[str, ...]) -> str:
        if not isinstance(found, str) or found not in allowed:
            self.refuse(found, ", ".join(allowed))
        return found

    def some_of(self, found: object, allowed: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(at.one_of(item, allowed) for at, item in self.items(found))

    def items(self, found: object) -> Iterator[tuple["_At", object]]:
        if found is None:
            return
        if not isinstance(found, list):
            self.refuse(found, "a list")
        for number, item in enumerate(found):
            yield _At(self.file, f"{self.path}[{number}]"), item

    def mapping(self, found: object, allowed: tuple[str, ...] = ()) -> dict[str, object]:
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            self.refuse(found, "a mapping of names")
        for name in found:
            if allowed and name not in allowed:
                self.key(name).refuse(name, ", ".join(allowed))
        return dict(found)

    def pattern(self, found: object) -> str:
        """Return a regular expression that both Polars and Python understand."""
        text = self.text(found)
        try:
            re.compile(text)
            pl.Series([""]).str.contains(text)
        except (re.error, PolarsError) as error:
            self.refuse(text, f"a regular expression ({error})")
        return text

    def source(self, found: object) -> Source:
        """Return `attribute`, `attribute#key.key`, or a mapping with one way to look inside."""
        if isinstance(found, str):
            attribute, _, path = self.text(found).partition("#")
            return Source(attribute, path=tuple(path.split(".")) if path else ())
        if not isinstance(found, Mapping):
            self.refuse(found, f"an attribute, attribute#key, or {', '.join(_SOURCE_KEYS)}")
        body = self.mapping(found, _SOURCE_KEYS)
        attribute = self.key("attribute").text(body.pop("attribute", None))
        if len(body) != 1:
            self.refuse(found, f"one of {', '.join(_SOURCE_KEYS[1:])}")
        ((way, what),) = body.items()
        if way == "value":
            return Source(attribute, value=self.key(way).text(what))
        pattern = self.key(way).pattern(what)
        if way == "count":
            return Source(attribute, count=pattern)
        if re.compile(pattern).groups != 1:
            self.key(way).refuse(pattern, "a regular expression with one group")
        return (
            Source(attribute, pattern=pattern)
            if way == "pattern"
            else Source(attribute, sum=pattern)
        )

    def sources(self, found: object) -> tuple[Source, ...]:
        return tuple(at.source(item) for at, item in self.items(found))

    def sources_by_name(
        self, found: object, allowed: tuple[str, ...] = ()
    ) -> dict[str, tuple[Source, ...]]:
        body = self.mapping(found, allowed)
        return {name: self.key(name).sources(item) for name, item in body.items()}


def read_common(tree: Tree, file: str) -> Common:
    """Return what `tree` says for all dialects."""
    at = _At(file, "common")
    body = at.mapping(_At(file).mapping(tree, ("common",))["common"], _COMMON_KEYS)
    providers = at.key("providers").mapping(body["providers"])
    return Common(
        dimensions=at.key("dimensions").sources_by_name(body["dimensions"], DIMENSION_NAMES),
        resource={
            name: tuple(source.attribute for source in sources)
            for name, sources in at.key("resource")
            .sources_by_name(body["resource"], ("conversation_id", "environment"))
            .items()
        },
        quantities=at.key("quantities").sources_by_name(body["quantities"], QUANTITIES),
        texts=at.key("texts").sources_by_name(body["texts"], TEXTS),
        supplied_cost=at.key("supplied_cost").sources(body["supplied_cost"]),
        providers={
            name: None if value is None else at.key(f"providers.{name}").text(value)
            for name, value in providers.items()
        },
        operations=at.key("operations").texts_by_name(body["operations"]),
    )


def read_layouts(tree: Tree, file: str) -> dict[str, Tree]:
    """Return the shapes of usage objects by name, each still to be put inside an attribute."""
    at = _At(file, "layouts")
    body = at.mapping(_At(file).mapping(tree, ("layouts",))["layouts"])
    return {
        name: at.key(name).mapping(shape, (*QUANTITIES, "reading", "requires"))
        for name, shape in body.items()
    }


def read_dialect(tree: Tree, file: str, layouts: Mapping[str, Tree]) -> Dialect:
    """Return the one dialect that `tree` defines; `layouts` are those it may refer to."""
    at = _At(file)
    body = at.mapping(tree, _DIALECT_KEYS)
    name = at.key("dialect").text(body.get("dialect"))
    span_names = body.get("span_names")
    return Dialect(
        name=name,
        file=file,
        about=at.key("about").text(body.get("about", name)),
        extends=None if body.get("extends") is None else at.key("extends").text(body["extends"]),
        marks=at.key("marks").texts(body.get("marks", [])),
        span_names=None if span_names is None else at.key("span_names").pattern(span_names),
        emitters=tuple(
            _emitter(each, item) for each, item in at.key("emitters").items(body.get("emitters"))
        ),
        kinds=tuple(_kind(each, item) for each, item in at.key("kind").items(body.get("kind"))),
        layouts=tuple(
            _layout(each, item, layouts)
            for each, item in at.key("layouts").items(body.get("layouts"))
        ),
        texts=at.key("texts").sources_by_name(body.get("texts", {}), TEXTS),
        units=at.key("units").sources_by_name(body.get("units", {})),
        evidence=at.key("evidence").sources_by_name(body.get("evidence", {})),
        supplied_cost=at.key("supplied_cost").sources(body.get("supplied_cost", [])),
    )


def _emitter(at: _At, found: object) -> Emitter:
    body = at.mapping(found, ("scope", "versions", "reading", "blind_to", "losses"))
    versions = at.key("versions").mapping(body.get("versions", {}), ("below",))
    below = versions.get("below")
    return Emitter(
        scope=at.key("scope").pattern(body["scope"]) if "scope" in body else None,
        below=None if below is None else release(at.key("versions.below").text(below)),
        reading=_reading(at, body),
        blind_to=at.key("blind_to").some_of(body.get("blind_to"), BLINDNESSES),
        losses=tuple(
            _loss(each, item) for each, item in at.key("losses").items(body.get("losses"))
        ),
    )


def _loss(at: _At, found: object) -> Loss:
    body = at.mapping(found, ("code", "kinds", "unless", "vendors", "streaming", "where"))
    where = at.key("where").mapping(body.get("where", {}))
    unless = body.get("unless")
    return Loss(
        code=at.key("code").one_of(body.get("code"), tuple(Uncertainty)),
        kinds=at.key("kinds").some_of(body.get("kinds"), KINDS),
        unless=None if unless is None else at.key("unless").one_of(unless, QUANTITIES),
        vendors=at.key("vendors").some_of(body.get("vendors"), VENDORS),
        streaming=at.key("streaming").flag(body.get("streaming", False)),
        where=tuple(
            (name, at.key("where").key(name).pattern(text)) for name, text in where.items()
        ),
    )


def _kind(at: _At, found: object) -> KindRule:
    body = at.mapping(
        found, ("attribute", "values", "absent", "unless_failed", "span_name", "kind")
    )
    kinds = (*KINDS, NO_CALL)
    if "span_name" in body:
        return KindRule(
            span_name=at.key("span_name").pattern(body["span_name"]),
            kind=at.key("kind").one_of(body.get("kind"), kinds),
        )
    values = at.key("values").mapping(body.get("values"))
    for value in values:
        if value != value.lower():
            at.key("values").refuse(value, "values in lower case; they match in any case")
    return KindRule(
        source=at.key("attribute").source(body.get("attribute")),
        values={
            value: at.key("values").key(value).one_of(kind, kinds) for value, kind in values.items()
        },
        absent=at.key("absent").texts(body.get("absent")),
        unless_failed=at.key("unless_failed").flag(body.get("unless_failed", False)),
    )


def _layout(at: _At, found: object, layouts: Mapping[str, Tree]) -> Layout:
    allowed = ("name", "layout", "inside", "reading", "requires", *QUANTITIES)
    body = at.mapping(found, allowed)
    if "layout" in body:
        return _inside(at, body, layouts)
    requires = body.get("requires")
    return Layout(
        name=at.key("name").text(body.get("name")),
        reading=_reading(at, body),
        requires=None if requires is None else at.key("requires").source(requires),
        quantities={name: at.key(name).sources(body[name]) for name in QUANTITIES if name in body},
    )


def _inside(at: _At, body: Tree, layouts: Mapping[str, Tree]) -> Layout:
    """Return a shape of layouts.yaml, read inside of the attribute that `body` names."""
    name = at.key("layout").one_of(body["layout"], tuple(layouts))
    attribute = at.key("inside").text(body.get("inside"))
    shape = layouts[name]
    requires = shape.get("requires")

    def within(path: str) -> Source:
        return Source(attribute, path=tuple(path.split(".")))

    return Layout(
        name=f"{attribute} as {name}",
        reading=_reading(at, shape),
        requires=None if requires is None else Source(attribute, pattern=f"[\"']({requires})[\"']"),
        quantities={
            quantity: tuple(within(path) for path in at.key(quantity).texts(shape[quantity]))
            for quantity in QUANTITIES
            if quantity in shape
        },
    )


def _reading(at: _At, body: Tree) -> str | None:
    found = body.get("reading")
    return None if found is None else at.key("reading").one_of(found, READINGS)
