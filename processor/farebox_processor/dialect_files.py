"""A parsed YAML tree in, one checked dialect out: what a file may say, and what is wrong with it.

Every mistake is a ConfigError that names the file, the key, what was found and what is allowed.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from farebox_processor.dialect_checks import At
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


def read_common(tree: Tree, file: str) -> Common:
    """Return what `tree` says for all dialects."""
    at = At(file, "common")
    body = at.mapping(At(file).mapping(tree, ("common",))["common"], _COMMON_KEYS)
    providers = at.key("providers").mapping(body["providers"])
    return Common(
        dimensions=at.key("dimensions").sources_by_name(body["dimensions"], DIMENSION_NAMES),
        resource={
            name: tuple(source.attribute for source in sources)
            for name, sources in at.key("resource")
            .sources_by_name(body["resource"], ("conversation_id", "environment", "tenant_id"))
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
    at = At(file, "layouts")
    body = at.mapping(At(file).mapping(tree, ("layouts",))["layouts"])
    return {
        name: at.key(name).mapping(shape, (*QUANTITIES, "reading", "requires"))
        for name, shape in body.items()
    }


def read_dialect(tree: Tree, file: str, layouts: Mapping[str, Tree]) -> Dialect:
    """Return the one dialect that `tree` defines; `layouts` are those it may refer to."""
    at = At(file)
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


def _emitter(at: At, found: object) -> Emitter:
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


def _loss(at: At, found: object) -> Loss:
    allowed = ("code", "kinds", "unless", "vendors", "streaming", "where", "where_not", "absent")
    body = at.mapping(found, allowed)
    unless = body.get("unless")
    return Loss(
        code=at.key("code").one_of(body.get("code"), tuple(Uncertainty)),
        kinds=at.key("kinds").some_of(body.get("kinds"), KINDS),
        unless=None if unless is None else at.key("unless").one_of(unless, QUANTITIES),
        vendors=at.key("vendors").some_of(body.get("vendors"), VENDORS),
        streaming=at.key("streaming").flag(body.get("streaming", False)),
        where=_patterns(at.key("where"), body.get("where", {})),
        where_not=_patterns(at.key("where_not"), body.get("where_not", {})),
        absent=at.key("absent").texts(body.get("absent")),
    )


def _patterns(at: At, found: object) -> tuple[tuple[str, str], ...]:
    return tuple((name, at.key(name).pattern(text)) for name, text in at.mapping(found).items())


def _kind(at: At, found: object) -> KindRule:
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


def _layout(at: At, found: object, layouts: Mapping[str, Tree]) -> Layout:
    allowed = ("name", "layout", "inside", "reading", "requires", *QUANTITIES)
    body = at.mapping(found, allowed)
    if "layout" in body:
        return _inside(at, body, layouts)
    requires = body.get("requires", [])
    return Layout(
        name=at.key("name").text(body.get("name")),
        reading=_reading(at, body),
        requires=at.key("requires").sources(requires if isinstance(requires, list) else [requires]),
        quantities={name: at.key(name).sources(body[name]) for name in QUANTITIES if name in body},
    )


def _inside(at: At, body: Tree, layouts: Mapping[str, Tree]) -> Layout:
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
        requires=()
        if requires is None
        else (Source(attribute, pattern=f"[\"']({requires})[\"']"),),
        quantities={
            quantity: tuple(within(path) for path in at.key(quantity).texts(shape[quantity]))
            for quantity in QUANTITIES
            if quantity in shape
        },
    )


def _reading(at: At, body: Tree) -> str | None:
    found = body.get("reading")
    return None if found is None else at.key("reading").one_of(found, READINGS)
