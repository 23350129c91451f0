"""Find the price book's model for what a span says of provider, model and region.

A name is tried as it stands, then with its decoration taken off step by step: provider prefix,
region prefix, resource name, date, version. No step ever leads to a model of another name, and a
fine-tuned model is never sold at the price of its base.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from farebox_processor.price_base import FINE_TUNED, BaseModel
from farebox_processor.price_book import PriceBook
from farebox_processor.price_sellers import seller_id
from farebox_processor.verdicts import Reason

__all__ = ["BEDROCK_REGIONS", "Resolution", "in_region", "resolve", "seller_of"]

_FRAMEWORKS: Final = frozenset({"litellm", "langchain", "_other", "unknown"})
"""Provider values that do not name a provider."""

BEDROCK_REGIONS: Final = ("global", "us", "eu", "apac", "jp", "au", "ca", "in", "us-gov")
"""Prefixes of Bedrock inference profiles."""

_PROFILE: Final = re.compile(rf"({'|'.join(BEDROCK_REGIONS)})\.(?=[a-z0-9-]+\.)")
_GOVCLOUD: Final = "arn:aws-us-gov:bedrock"
_DATE: Final = re.compile(r"[-@](?:20\d{6}|20\d{2}-\d{2}-\d{2})$")
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(\d{2})(\d{2})$")
_REGION: Final = re.compile(r"us|eu|global|[a-z]{2}(?:-gov)?-[a-z]+-\d")
_GATEWAY_PREFIXES: Final = frozenset({"azure", "azure_ai", "bedrock", "openrouter", "vertex_ai"})
"""Prefixes that gateways put before a model's name; they know better than the SDK in front."""
_MARKETPLACE: Final = "openrouter"
"""Its names begin with the maker's, at prices of its own."""
_WRAPPING: Final = ("models/", "publishers/", "tunedmodels/")
_VERTEX: Final = re.compile(r"projects/[^/]+/locations/([^/]+)/publishers/[^/]+/models/")
"""What Vertex calls its makers' models in full, with the region that is asked."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was found for one combination of provider, model and region."""

    provider: str | None = None
    """Id of the seller in the price book."""
    model: str | None = None
    """The model's id there."""
    base: BaseModel | None = None
    """The base's entry; null where an overlay alone has the model."""
    region: str | None = None
    """us, eu, ... from the span's region or a prefix of the model's name."""
    is_asked: bool = False
    """The book does not know the model that answered; this is the one that was asked."""
    reason: Reason | None = None
    """Why nothing was found."""

    @property
    def name(self) -> str | None:
        """ "provider/model" of the price book."""
        return f"{self.provider}/{self.model}" if self.model else None


def seller_of(book: PriceBook, provider: str | None) -> str | None:
    """Return the price book's id for what a span calls its provider; null if it knows none."""
    if provider is None or provider.lower() in _FRAMEWORKS:
        return None
    name = seller_id(provider)
    return name if name in book.sellers else None


def resolve(
    book: PriceBook,
    provider: str | None,
    model: str | None,
    *,
    request_model: str | None = None,
    region: str | None = None,
) -> Resolution:
    """Return the model to price by: that of the response, else that of the request.

    The region of a request's profile counts for the response's model too, since providers
    answer with the bare name.
    """
    if model is None:
        return Resolution(reason=Reason.NO_MODEL)
    asked = (request_model or "").lower().strip()
    region = region.lower() if region else _region_of(asked)
    found = _resolve_one(book, provider, model.lower().strip(), region)
    if found.reason is Reason.UNKNOWN_MODEL and asked and not FINE_TUNED.search(asked):
        second = _resolve_one(book, provider, asked, region)
        return found if second.reason else replace(second, is_asked=True)
    return found


def _resolve_one(
    book: PriceBook, provider: str | None, name: str, region: str | None
) -> Resolution:
    region = region or _region_of(name)
    seller = seller_of(book, provider)
    names = (f"{provider or ''}/{name}".lower(), f"{seller}/{name}", name)
    alias = next((book.aliases[each] for each in names if each in book.aliases), None)
    if alias is not None:
        target, _, model = alias.partition("/")
        return _sold(book, target, model, region) or Resolution(reason=Reason.UNKNOWN_MODEL)
    stated = provider is not None and provider.lower() not in _FRAMEWORKS
    if seller is None and stated:
        return Resolution(reason=Reason.UNKNOWN_PROVIDER)
    for one, rest in _sellers(book, seller, name):
        for candidate in dict.fromkeys(_candidates(book, one, rest, region)):
            if (found := _sold(book, one, candidate, region)) is not None:
                return found
    fine_tuned = FINE_TUNED.search(name) is not None
    return Resolution(reason=Reason.FINE_TUNED if fine_tuned else Reason.UNKNOWN_MODEL)


def _sold(book: PriceBook, seller: str, name: str, region: str | None) -> Resolution | None:
    """Return the model that `seller` has under exactly this name."""
    base = book.base.model(seller, name) if seller in book.base.providers else None
    if FINE_TUNED.search(name) and base is not None and not FINE_TUNED.search(base.id):
        base = None
    model = book.names.get((seller, name)) or (base.id if base else None)
    if model is None:
        return None
    if base is None and seller in book.base.providers:
        base = book.base.model(seller, model)
    return Resolution(seller, model, base, region)


def _candidates(book: PriceBook, seller: str, name: str, region: str | None) -> Iterator[str]:
    """Yield `name`, then `name` with more and more of its decoration taken off."""
    plain = name.rpartition("/")[2] if name.startswith("arn:") or ":" in name else name
    stripped = _without_path(book, name)
    if seller == "aws":
        yield from _bedrock(stripped, region)
    yield name
    yield stripped
    yield plain
    if FINE_TUNED.search(name):
        return
    bare = _PROFILE.sub("", stripped, count=1)
    yield bare
    yield bare.partition("@")[0]
    yield _COMPACT_DATE.sub(r"-\1-\2-\3", bare)
    yield _DATE.sub("", bare)


def _bedrock(name: str, region: str | None) -> Iterator[str]:
    """Yield the name with its profile, which is what Bedrock prices by."""
    bare = _PROFILE.sub("", name.rpartition("/")[2], count=1)
    if region in BEDROCK_REGIONS and "/" not in bare:
        yield f"{region}.{bare}"
        if bare.startswith("claude-"):
            yield f"{region}.anthropic.{bare}"


def _without_path(book: PriceBook, name: str) -> str:
    """Return `name` without leading segments that name a provider, a region or a collection."""
    if name.startswith("arn:"):
        return name.rpartition("/")[2]
    *path, last = name.split("/")
    if any(name.startswith(prefix) for prefix in _WRAPPING) or _VERTEX.match(name):
        return last
    while path and (seller_of(book, path[0]) or _REGION.fullmatch(path[0])):
        path.pop(0)
    return "/".join((*path, last))


def _sellers(book: PriceBook, stated: str | None, name: str) -> list[tuple[str, str]]:
    """Return who may have sold the call, and under which name, the likeliest first."""
    prefixed = _prefixed(book, name)
    if stated is None:
        return prefixed or _inferred(book, name)
    if stated == _MARKETPLACE:
        return [(stated, name)]
    if name.partition("/")[0] in _GATEWAY_PREFIXES:
        return [*prefixed, (stated, name)]
    return [(stated, name), *prefixed]


def _prefixed(book: PriceBook, name: str) -> list[tuple[str, str]]:
    """Return the seller that the name itself begins with, and the rest of the name."""
    prefix, slash, rest = name.partition("/")
    seller = seller_of(book, prefix) if slash else None
    return [(seller, rest)] if seller else []


def _inferred(book: PriceBook, name: str) -> list[tuple[str, str]]:
    """Return the one provider whose naming `name` follows; nothing if there are several."""
    if name.startswith(("arn:aws:bedrock", _GOVCLOUD)) or _PROFILE.match(name):
        return [("aws", name)]
    makers = book.base.makers(name)
    overlay = {seller for seller, model in book.names if model == name}
    found = set(makers) or overlay
    return [(found.pop(), name)] if len(found) == 1 else []


def _region_of(name: str) -> str | None:
    """Return the region that a model's name carries: us.anthropic..., azure/eu/gpt-4o."""
    *path, last = name.split("/")
    if (match := _PROFILE.match(last)) is not None:
        return match.group(1)
    if (match := _VERTEX.match(name)) is not None:
        return match.group(1)
    if name.startswith(_GOVCLOUD):
        return "us-gov"
    return next((segment for segment in path if _REGION.fullmatch(segment)), None)


def in_region(book: PriceBook, found: Resolution, region: str) -> Resolution:
    """Return the same model as it is sold in another region."""
    if found.provider != "aws" or found.model is None:
        return replace(found, region=region)
    bare = found.model.removeprefix("regional.").removeprefix("global.")
    return _sold(book, "aws", f"{region}.{bare}", region) or replace(found, region=region)
