"""Which spans of a batch are not taken, and what their senders are told."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from farebox_processor.errors import BadRequestError, FareboxError, Rejection
from farebox_processor.frames import REJECTIONS
from farebox_processor.otlp_skeleton import Skeleton

__all__ = [
    "REFUSED",
    "TAKEN",
    "Verdicts",
    "all_taken",
    "refuse_empty_handed",
    "reject",
    "rejections",
]

_Rows: TypeAlias = npt.NDArray[np.int64]
Verdicts: TypeAlias = npt.NDArray[np.int8]
"""Per span: TAKEN, REFUSED with its whole request, or the place of its reason in _DETAILS."""

TAKEN: Final = -1
REFUSED: Final = -2

_SAMPLE_BYTES: Final = 4096
_DETAILS: Final = {
    Rejection.UNDECODABLE: "not a serialised Span, or its resource, scope or attributes are not",
    Rejection.INVALID_TRACE_ID: "the trace id is not 16 bytes, or all of them are zero",
    Rejection.INVALID_SPAN_ID: "the span id is not 8 bytes, or all of them are zero",
}
_REASONS: Final = tuple(_DETAILS)


def all_taken(skeleton: Skeleton) -> Verdicts:
    """Return verdicts that take every span."""
    return np.full(len(skeleton.spans), TAKEN, dtype=np.int8)


def reject(verdicts: Verdicts, rows: _Rows, reason: Rejection) -> None:
    """Enter the reason for these rows; a later reason replaces an earlier one."""
    verdicts[rows[verdicts[rows] != REFUSED]] = _REASONS.index(reason)


def rejections(skeleton: Skeleton, verdicts: Verdicts, tenants: Sequence[str]) -> pl.DataFrame:
    """Return frames.REJECTIONS: one row per request and reason, with the first such span."""
    rows = np.flatnonzero(verdicts >= 0)
    if not len(rows):
        return pl.DataFrame(schema=REJECTIONS)
    spans = pl.DataFrame({"request": skeleton.request[rows], "reason": verdicts[rows], "row": rows})
    grouped = spans.group_by("request", "reason", maintain_order=True).agg(
        spans=pl.len(), row=pl.col("row").first()
    )
    found = [_REASONS[reason] for reason in grouped["reason"]]
    samples = [skeleton.spans[row].as_py()[:_SAMPLE_BYTES] for row in grouped["row"]]
    return grouped.select(
        "request",
        "spans",
        tenant=pl.Series([tenants[request] for request in grouped["request"]]),
        reason=pl.Series([str(reason) for reason in found]),
        detail=pl.Series([_DETAILS[reason] for reason in found]),
        sample=pl.Series(samples),
    ).select(pl.col(name).cast(dtype) for name, dtype in REJECTIONS.items())


def refuse_empty_handed(
    skeleton: Skeleton, verdicts: Verdicts, requests: int
) -> dict[int, FareboxError]:
    """Refuse the requests that have spans, and not one that can be taken."""
    if (verdicts == TAKEN).all():
        return {}
    sent = np.bincount(skeleton.request, minlength=requests)
    taken = np.bincount(skeleton.request[verdicts == TAKEN], minlength=requests)
    refused = np.bincount(skeleton.request[verdicts == REFUSED], minlength=requests)
    refusals: dict[int, FareboxError] = {}
    for request in np.flatnonzero((sent > 0) & (taken == 0) & (refused == 0)).tolist():
        first = _REASONS[verdicts[np.searchsorted(skeleton.request, request)]]
        refusals[request] = BadRequestError(
            f"None of the {sent[request]} spans can be taken: {_DETAILS[first]}. "
            "Send OTLP traces to this endpoint."
        )
    return refusals
