"""The first look at export requests: how many resources, scopes and spans, all still bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from farebox_processor import wire
from farebox_processor.errors import BadRequestError, FareboxError, RequestTooLargeError

__all__ = ["Limits", "Skeleton", "read_skeleton"]

_Rows: TypeAlias = npt.NDArray[np.int64]

_NOT_A_REQUEST: Final = (
    "The body is not a serialised ExportTraceServiceRequest. Send OTLP traces as protobuf, whole."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold before it is refused whole, and how much of one span is read."""

    spans_per_request: int = 100_000
    groups_per_request: int = 100_000
    """Resources, and scopes, each."""
    attributes_per_request: int = 2_000_000
    """Each takes about 80 bytes of memory; 64 MiB of usual spans hold 1.5 million."""
    attributes_per_span: int = 1024
    """The first ones are read; the span is kept. Also of a resource."""
    events_per_span: int = 128
    links_per_span: int = 128


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The spans of a batch of requests as bytes, with where each comes from."""

    spans: pa.Array
    request: _Rows
    """Index of the request of each span, ascending."""
    resource: _Rows
    """Row of each span's resource in `resources`."""
    scope: _Rows
    """Row of each span's scope in `scopes`."""
    resources: pa.Array
    """The distinct resources, serialised."""
    scopes: pa.Array
    """The distinct scopes, serialised."""
    resource_request: _Rows
    """The first request that carries each resource, ascending."""
    scope_request: _Rows
    refusals: dict[int, FareboxError]
    """Requests that are left out whole."""


def read_skeleton(bodies: Sequence[bytes], limits: Limits) -> Skeleton:
    """Read the requests down to their spans; refuse those that are none, or above a limit."""
    groups, wrong = wire.read_requests(bodies)
    refusals: dict[int, FareboxError] = {body: BadRequestError(_NOT_A_REQUEST) for body in wrong}
    too_large = _above_limits(groups, limits)
    if too_large:
        refusals |= too_large
        groups, _ = wire.read_requests(
            [b"" if index in refusals else body for index, body in enumerate(bodies)]
        )
    return _flatten(groups, refusals)


def _above_limits(groups: pa.ListArray, limits: Limits) -> dict[int, FareboxError]:
    """Count without making anything: thirty million empty spans are still two bytes each."""
    of_groups = groups.offsets.to_numpy()
    scopes = groups.flatten().field("scope_spans")
    of_scopes = scopes.offsets.to_numpy()[of_groups]
    of_spans = scopes.flatten().field("spans").offsets.to_numpy()[of_scopes]
    refusals: dict[int, FareboxError] = {}
    for what, offsets, limit in (
        ("resources", of_groups, limits.groups_per_request),
        ("scopes", of_scopes, limits.groups_per_request),
        ("spans", of_spans, limits.spans_per_request),
    ):
        counts = np.diff(offsets)
        for request in np.flatnonzero(counts > limit).tolist():
            error = RequestTooLargeError(
                f"The request holds {counts[request]} {what}; {limit} are taken at once. "
                "Send smaller batches."
            )
            refusals.setdefault(request, error)
    return refusals


def _flatten(groups: pa.ListArray, refusals: dict[int, FareboxError]) -> Skeleton:
    group_request = _parents(groups)
    group = groups.flatten()
    scope_lists = group.field("scope_spans")
    scope_group = _parents(scope_lists)
    scope = scope_lists.flatten()
    span_lists = scope.field("spans")
    span_scope = _parents(span_lists)

    scope_request = group_request[scope_group]
    resources, resource_of_group, resource_request = _distinct(
        group.field("resource"), group_request
    )
    scopes, distinct_scope, first_scope_request = _distinct(scope.field("scope"), scope_request)
    return Skeleton(
        spans=span_lists.flatten(),
        request=scope_request[span_scope],
        resource=resource_of_group[scope_group][span_scope],
        scope=distinct_scope[span_scope],
        resources=resources,
        scopes=scopes,
        resource_request=resource_request,
        scope_request=first_scope_request,
        refusals=refusals,
    )


def _parents(lists: pa.ListArray) -> _Rows:
    """Return the row of the list of each item."""
    counts = np.diff(lists.offsets.to_numpy())
    return np.repeat(np.arange(len(counts)), counts)


def _distinct(raw: pa.Array, requests: _Rows) -> tuple[pa.Array, _Rows, _Rows]:
    """Return the distinct values in order of appearance, which one each is, and who sent it."""
    encoded = raw.dictionary_encode()
    ids = encoded.indices.to_numpy().astype(np.int64)
    _, first = np.unique(ids, return_index=True)
    return encoded.dictionary, ids, requests[first]
