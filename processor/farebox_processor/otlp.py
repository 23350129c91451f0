"""ExportTraceServiceRequests in, frames of spans and attributes out; what cannot be read, named.

Level by level, so that everything is counted before it is parsed: the skeleton of a request
(resources, scopes, spans as bytes), then spans with their attributes as bytes, then attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from farebox_processor import attribute_columns, otlp_rejections, otlp_spans, wire
from farebox_processor.any_values import Rows
from farebox_processor.attribute_columns import Attributes
from farebox_processor.errors import FareboxError, Rejection, RequestTooLargeError
from farebox_processor.frames import SPANS
from farebox_processor.otlp_attributes import first_of_each, read_attributes
from farebox_processor.otlp_rejections import REFUSED, TAKEN, Verdicts, reject
from farebox_processor.otlp_skeleton import Limits, Skeleton, read_skeleton

__all__ = ["Decoded", "Limits", "decode"]

_Rows: TypeAlias = npt.NDArray[np.int64]

_NOTHING: Final = pl.DataFrame(schema={"row": pl.UInt32(), "raw": pl.Binary()})


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of export requests as frames."""

    spans: pl.DataFrame
    """frames.SPANS, one row per accepted span, in the order sent."""
    span_attributes: Attributes
    """By the row of the span in `spans`."""
    resource_attributes: Attributes
    """Of the distinct resources, by the span's `resource_row`."""
    resources: int
    """How many distinct resources there are: the height to ask resource_attributes with."""
    events: pl.DataFrame
    """`row` of the span and `raw`, its serialised Event, in the order sent."""
    links: pl.DataFrame
    """`row` of the span and `raw`, its serialised Link, in the order sent."""
    places: _Rows
    """Which span of its request each row of `spans` is, counted from 0."""
    rejections: pl.DataFrame
    """frames.REJECTIONS, one row per request and reason, also for requests in `refusals`."""
    refusals: Mapping[int, FareboxError]
    """The requests of which nothing was taken, and why: BadRequestError, RequestTooLargeError.
    A request neither here nor in `rejections` was taken whole."""
    dropped: int
    """Attributes, events and links of accepted spans left out because a span has too many."""


def decode(
    bodies: Sequence[bytes], tenants: Sequence[str], *, limits: Limits | None = None
) -> Decoded:
    """Decode serialised ExportTraceServiceRequests, one tenant each, 1 GiB together at most.

    Never raises for what a body holds: refusals and rejections say what was not taken.
    """
    limits = limits or Limits()
    skeleton = read_skeleton(bodies, limits)
    read = wire.SPAN.read(skeleton.spans, skeleton.request)
    scopes = wire.SCOPE.read(skeleton.scopes, skeleton.scope_request)
    resources, unread_resources = _read_resources(skeleton, limits)
    told = otlp_spans.span_columns(read.batch)
    unread = (read.undecodable, scopes.undecodable, unread_resources)
    verdicts = _judge(skeleton, told, unread)

    lists = read.batch.column("attributes")
    refusals = skeleton.refusals | _refuse_too_many_attributes(skeleton, verdicts, lists, limits)
    most = np.where(verdicts == TAKEN, limits.attributes_per_span, 0)
    attributes, undecodable = read_attributes(lists, skeleton.request, most)
    reject(verdicts, undecodable, Rejection.UNDECODABLE)
    refusals |= otlp_rejections.refuse_empty_handed(skeleton, verdicts, len(bodies))

    taken = np.flatnonzero(verdicts == TAKEN)
    events = _kept(read.batch.column("events"), verdicts, limits.events_per_span)
    links = _kept(read.batch.column("links"), verdicts, limits.links_per_span)
    spans = _spans(skeleton, tenants, told, (scopes.batch, resources))
    if len(taken) < len(verdicts):
        spans = spans[pl.Series(taken)]
        events, links = (_renumbered(frame, taken) for frame in (events, links))
        rows, is_kept = _new_rows(attributes.rows, taken)
        attributes = replace(attributes.where(is_kept), rows=rows)
    return Decoded(
        spans=spans,
        span_attributes=attributes,
        resource_attributes=resources,
        resources=len(skeleton.resources),
        events=events,
        links=links,
        places=(taken - np.searchsorted(skeleton.request, skeleton.request[taken])),
        rejections=otlp_rejections.rejections(skeleton, verdicts, tenants),
        refusals=refusals,
        dropped=_items(read.batch, taken) - len(attributes) - len(events) - len(links),
    )


def _read_resources(skeleton: Skeleton, limits: Limits) -> tuple[Attributes, _Rows]:
    """Return the attributes of the resources, and the resources that could not be read."""
    read = wire.RESOURCE.read(skeleton.resources, skeleton.resource_request)
    most = np.full(len(skeleton.resources), limits.attributes_per_span)
    lists = read.batch.column("attributes")
    attributes, undecodable = read_attributes(lists, skeleton.resource_request, most)
    return attributes, np.union1d(read.undecodable, undecodable)


def _judge(
    skeleton: Skeleton, told: Mapping[str, pl.Series], unread: tuple[_Rows, _Rows, _Rows]
) -> Verdicts:
    """Reject the spans that cannot be read, or told apart from others.

    `told` is what spans say of themselves; `unread` are the spans, the scopes and the resources
    that could not be read.
    """
    spans, scopes, resources = unread
    verdicts = otlp_rejections.all_taken(skeleton)
    for reason, rows in otlp_spans.invalid_ids(told).items():
        reject(verdicts, rows, reason)
    reject(verdicts, spans, Rejection.UNDECODABLE)
    for parents, undecodable in ((skeleton.scope, scopes), (skeleton.resource, resources)):
        if len(undecodable):
            rows = np.flatnonzero(np.isin(parents, undecodable))
            reject(verdicts, rows, Rejection.UNDECODABLE)
    return verdicts


def _refuse_too_many_attributes(
    skeleton: Skeleton, verdicts: Verdicts, lists: pa.ListArray, limits: Limits
) -> dict[int, FareboxError]:
    """Refuse requests whose attributes would take far more memory than their bytes."""
    limit = limits.attributes_per_request
    if len(lists.flatten()) <= limit:
        return {}
    kept = np.minimum(np.diff(lists.offsets.to_numpy()), limits.attributes_per_span)
    counts = np.bincount(skeleton.request, weights=kept)
    refused = np.flatnonzero(counts > limit)
    verdicts[np.isin(skeleton.request, refused)] = REFUSED
    return {
        request: RequestTooLargeError(
            f"The request holds {counts[request]:.0f} attributes; {limit} are taken at once. "
            "Send smaller batches."
        )
        for request in refused.tolist()
    }


def _kept(lists: pa.ListArray, verdicts: Verdicts, limit: int) -> pl.DataFrame:
    """Return the first `limit` events or links of each span that is taken, still serialised."""
    if not len(lists.flatten()):
        return _NOTHING
    rows, raw = first_of_each(lists, np.where(verdicts == TAKEN, limit, 0))
    return pl.DataFrame({"row": rows.astype(np.uint32), "raw": pl.Series(raw)})


def _renumbered(frame: pl.DataFrame, taken: _Rows) -> pl.DataFrame:
    """Leave out what belongs to spans that are not taken; count `row` among those that are."""
    rows, is_kept = _new_rows(frame["row"].to_numpy(), taken)
    return frame.filter(pl.Series(is_kept)).with_columns(row=pl.Series(rows))


def _new_rows(rows: Rows, taken: _Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Return those of the rows that are taken, counted among these, and which they were."""
    is_kept = np.isin(rows, taken)
    return np.searchsorted(taken, rows[is_kept]).astype(np.uint32), is_kept


def _items(batch: pa.RecordBatch, taken: _Rows) -> int:
    """Return how many attributes, events and links the spans that are taken came with."""
    columns = [batch.column(name) for name in ("attributes", "events", "links")]
    return sum(int(np.diff(lists.offsets.to_numpy())[taken].sum()) for lists in columns)


def _spans(
    skeleton: Skeleton,
    tenants: Sequence[str],
    told: Mapping[str, pl.Series],
    parents: tuple[pa.RecordBatch, Attributes],
) -> pl.DataFrame:
    """Put together what a span says, what its scope and resource say, and where it came from."""
    scopes, resource_attributes = parents
    request, resource, scope = (
        pl.Series(rows) for rows in (skeleton.request, skeleton.resource, skeleton.scope)
    )
    services = attribute_columns.texts(
        resource_attributes, len(skeleton.resources), ["service.name"]
    ).to_series()
    columns = {
        **told,
        "request": request.cast(pl.UInt32),
        "tenant": pl.Series(tenants, dtype=pl.String)[request],
        "scope_row": scope.cast(pl.UInt32),
        "resource_row": resource.cast(pl.UInt32),
        "service_name": services.fill_null("")[resource],
        "scope_name": pl.Series(scopes.column("name"))[scope],
        "scope_version": pl.Series(scopes.column("version"))[scope],
        "content_hash": pl.Series(
            otlp_spans.content_hashes(
                skeleton.spans,
                (skeleton.resources, skeleton.resource),
                (skeleton.scopes, skeleton.scope),
            )
        ),
    }
    return pl.DataFrame([columns[name].alias(name) for name in SPANS])
