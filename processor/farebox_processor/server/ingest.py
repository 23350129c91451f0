"""One flush for real: bodies in, rows in ClickHouse, verdicts out; then traces from live spans."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import polars as pl

from farebox_processor.enriched_otlp import Flushed
from farebox_processor.enrichment import Attached, attach
from farebox_processor.errors import BadRequestError, Rejection, RetryableStoreError
from farebox_processor.evidence import evidence_rows
from farebox_processor.frames import REJECTIONS
from farebox_processor.live_traces import LiveTraces
from farebox_processor.otlp import Decoded
from farebox_processor.otlp_skeleton import Limits, read_skeleton
from farebox_processor.pipeline import Costed, Rules, cost_requests
from farebox_processor.rollup import RolledUp
from farebox_processor.rollup.kin import sets_of
from farebox_processor.server.flush import Verdict
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.steady_roll_up import roll_up_steadily
from farebox_processor.so_far import ConversationsSoFar
from farebox_processor.store.dead_letters import SAMPLE_BYTES, of_rejections
from farebox_processor.store.writer import Writer, Written
from farebox_processor.verdicts import CostStatus

__all__ = ["Export", "Ingest"]

_logger = logging.getLogger(__name__)

_SPANS_LOOKED_AT: Final = 4_096
"""Live spans that may be rolled up before the answers, besides twice those of the flush."""


class Export(Protocol):
    """Take what a flush has stored, at once and without an error, whatever becomes of it."""

    def __call__(self, flushed: Flushed) -> None: ...


@dataclass(frozen=True, slots=True)
class _Ahead:
    """The live spans as they are once those of a flush are stored, and what changed among them."""

    priced: pl.DataFrame
    """The spans of the flush."""
    live: LiveTraces
    changed: RolledUp | None
    """None where it is too much to be worked out before the answers."""
    rules: Rules

    def is_of(self, stored: Sequence[pl.DataFrame], rules: Rules) -> bool:
        """Return whether just the spans of the flush were stored, and the rules are the same."""
        return len(stored) == 1 and stored[0] is self.priced and rules is self.rules


def _all_but_the_largest(spans: pl.DataFrame, most: int) -> pl.DataFrame:
    """Leave sets of traces out, the largest first, until at most so many spans are left."""
    if spans.height <= most:
        return spans
    # Whole sets: what two traces share would be told of each of them.
    of_set = sets_of(spans)
    sizes = of_set.value_counts(name="spans").sort("spans", of_set.name)
    fit = sizes.filter(pl.col("spans").cum_sum() <= most)
    return spans.filter(of_set.is_in(fit[of_set.name].implode()))


@dataclass(slots=True)
class Ingest:
    """The chain between the requests and the tables. One thread at a time may use it."""

    writer: Writer
    rules: Rules
    live: LiveTraces
    metrics: Metrics
    evidence: str
    """Which spans are also kept as they came: all, genai or none."""
    content: bool = False
    """Whether prompts and answers are among what is kept as it came."""
    proposed_names: bool = False
    """Whether costs are attached under the proposed standard names too."""
    so_far: ConversationsSoFar = field(default_factory=lambda: ConversationsSoFar(100_000))
    keep_ratings: Callable[[pl.DataFrame], pl.DataFrame] = lambda priced: priced
    """Gives spans that are stored already, by earlier prices, the rating they have."""
    export: Export | None = None
    """Who else gets the spans, and what was attached to them."""
    _stored_lately: list[pl.DataFrame] = field(default_factory=list)
    _read_back: deque[pl.DataFrame] = field(default_factory=deque)
    _ahead: _Ahead | None = None
    """Of the latest flush."""

    def flush(self, bodies: Sequence[bytes], tenants: Sequence[str]) -> list[Verdict]:
        """Store the spans of the requests and return a verdict on each.

        Raises RetryableStoreError where ClickHouse takes nothing now.
        """
        costed = cost_requests(bodies, tenants, self.rules)
        try:
            costed = replace(costed, priced=self.keep_ratings(costed.priced))
            with self.metrics.insert_seconds.time():
                written, attached = self._store(costed)
            rejections = self._reject(costed.decoded, written)
            self._set_aside(bodies, tenants, costed.decoded)
        except RetryableStoreError:
            self._count_unacknowledged(costed.decoded)
            raise
        self._stored_lately.append(written.stored)
        self._count(tenants, costed.decoded, written.stored, rejections)
        self.metrics.parts_dropped.inc(costed.decoded.dropped)
        self.metrics.texts_cut.inc(costed.cut)
        if self.export is not None and written.stored.height:
            self.export(Flushed.of(bodies, costed.decoded, attached))
        return _verdicts(len(bodies), costed.decoded, written.stored, rejections)

    def follow_up(self) -> None:
        """Roll up the traces that changed, and store their rows.

        When that fails they stay marked, and the next flush tries again; but for those that break
        the roll up: they are left to repair.
        """
        lately, self._stored_lately = self._stored_lately, []
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.is_of(lately, self.rules):
            self.live, changed = ahead.live, ahead.changed
        else:
            changed = None
            for stored in lately:
                self.live.add(stored)
        while self._read_back:
            self.live.complete(self._read_back.popleft())
            changed = None
        if changed is None:
            changed = self._roll_up(self.live.dirty_sets(), self.live, self.rules)
        self.metrics.live_spans.set(len(self.live))
        self.metrics.live_traces.set(self.live.traces)
        self.so_far.remember(changed.traces)
        self.writer.write("calls", changed.calls)
        self.writer.write("traces", changed.traces)
        self.live.settle()

    def take_back(self, spans: pl.DataFrame) -> None:
        """Take spans that were read back, to make live traces whole. From any thread."""
        of_live_traces = self.live.those_live(spans)
        if of_live_traces.height:
            self._read_back.append(of_live_traces)

    def bury(self, body: bytes, tenant: str, detail: str) -> Verdict:
        """Put a request that breaks the flush into dead_letter and return its verdict."""
        spans = max(1, len(read_skeleton([body], Limits()).spans))
        rejection = _rejection(body, tenant, Rejection.UNEXPECTED_ERROR, spans, detail)
        self.writer.write("dead_letter", of_rejections(rejection))
        self.metrics.spans_received.labels(tenant).inc(spans)
        self.metrics.spans_rejected.labels(tenant, Rejection.UNEXPECTED_ERROR).inc(spans)
        return Verdict(rejected=spans, message="the server fails on this request; it was kept")

    def _set_aside(self, bodies: Sequence[bytes], tenants: Sequence[str], decoded: Decoded) -> None:
        """Keep the beginning of requests in which not even a number of spans could be found."""
        named = set(decoded.rejections["request"])
        unreadable = [
            _rejection(bodies[request], tenants[request], Rejection.UNDECODABLE, 0, str(error))
            for request, error in decoded.refusals.items()
            if request not in named and isinstance(error, BadRequestError)
        ]
        if unreadable:
            self.writer.write("dead_letter", of_rejections(pl.concat(unreadable)))

    def _store(self, costed: Costed) -> tuple[Written, Attached]:
        """Store the spans, then what was sent with what is attached to it; return both."""
        # ClickHouse takes longer over the spans than it takes to find what they amount to.
        with ThreadPoolExecutor(1, "farebox-so-far") as beside:
            so_far = beside.submit(self._so_far, costed.priced)
            written = self.writer.write("spans", costed.priced)
        attached = attach(
            costed.decoded, costed.priced, so_far.result(), proposed_names=self.proposed_names
        )
        self._store_evidence(costed, attached)
        return written, attached

    def _so_far(self, priced: pl.DataFrame) -> pl.DataFrame | None:
        """Return so_far.SO_FAR for each span, as if this flush had been rolled up already."""
        if self.export is None and self.evidence == "none":
            return None
        try:
            rules, live = self.rules, self.live.fork()
            live.add(priced)
            changed = live.dirty_sets()
            looked_at = _all_but_the_largest(changed, _SPANS_LOOKED_AT + 2 * priced.height)
            rolled_up = self._roll_up(looked_at, live, rules)
            is_all = looked_at.height == changed.height
            self._ahead = _Ahead(priced, live, rolled_up if is_all else None, rules)
            return self.so_far.of_spans(priced, rolled_up.traces, rules.plans)
        # It is a hint: a mistake of ours in it must cost no data. A panic is no Exception.
        except BaseException:
            self.metrics.errors.labels("so_far").inc()
            _logger.exception("what conversations cost so far could not be told")
            return None

    def _roll_up(self, spans: pl.DataFrame, live: LiveTraces, rules: Rules) -> RolledUp:
        rolled_up, _ = roll_up_steadily(spans, rules, self.metrics, live.worn_among(spans))
        return rolled_up

    def _reject(self, decoded: Decoded, written: Written) -> pl.DataFrame:
        """Set aside what the decoder and the store did not take, and return frames.REJECTIONS."""
        if written.rejected.is_empty() and decoded.rejections.is_empty():
            return decoded.rejections
        refused = written.rejected.group_by("request", "tenant", maintain_order=True).agg(
            reason=pl.lit(Rejection.REFUSED_BY_STORE.value),
            spans=pl.len(),
            detail=pl.col("detail").first(),
        )
        self.writer.write("dead_letter", of_rejections(decoded.rejections))
        return pl.concat([decoded.rejections, refused], how="diagonal_relaxed")

    def _store_evidence(self, costed: Costed, attached: Attached) -> None:
        if self.evidence == "none":
            return
        evidence = evidence_rows(costed.decoded, costed.priced, attached, content=self.content)
        rows = evidence.frame
        if self.evidence == "genai":
            rows = rows.filter(costed.priced["dialect"].is_not_null())
        self.writer.write("otel_traces", rows, evidence.dictionaries)

    def _count(
        self,
        tenants: Sequence[str],
        decoded: Decoded,
        stored: pl.DataFrame,
        rejections: pl.DataFrame,
    ) -> None:
        metrics = self.metrics
        self._count_received(decoded)
        # By who was let in: without tokens spans name tenants themselves, any number of them.
        let_in = pl.Series("tenant", tenants, dtype=pl.String)
        for tenant, spans in let_in[stored["request"]].value_counts().rows():
            metrics.spans_stored.labels(tenant).inc(spans)
        by_reason = (
            rejections.with_columns(let_in[rejections["request"]])
            .group_by("tenant", "reason")
            .agg(pl.col("spans").sum())
        )
        for tenant, reason, spans in by_reason.rows():
            metrics.spans_rejected.labels(tenant, reason).inc(spans)
        unpriced = stored.filter(cost_status=CostStatus.UNPRICED.value)
        models = unpriced.group_by(pl.col("model").fill_null("not given")).len()
        for model, spans in models.rows():
            metrics.count_unpriced(model, spans)
        if stored.height:
            newest_ns = stored.select(pl.col("end_unix_nano").max()).item()
            metrics.lag_seconds.set(time.time() - newest_ns / 1e9)

    def _count_unacknowledged(self, decoded: Decoded) -> None:
        self._count_received(decoded)
        for tenant, spans in _spans_of_tenants(decoded).rows():
            self.metrics.spans_unacknowledged.labels(tenant).inc(spans)

    def _count_received(self, decoded: Decoded) -> None:
        for tenant, spans in _spans_of_tenants(decoded).rows():
            self.metrics.spans_received.labels(tenant).inc(spans)


def _rejection(
    body: bytes, tenant: str, reason: Rejection, spans: int, detail: str
) -> pl.DataFrame:
    row = (0, tenant, reason.value, spans, detail, body[:SAMPLE_BYTES])
    return pl.DataFrame([row], schema=REJECTIONS, orient="row")


def _spans_of_tenants(decoded: Decoded) -> pl.DataFrame:
    """Return how many spans each tenant sent, taken or rejected."""
    taken = decoded.spans.select("tenant", spans=pl.lit(1, dtype=pl.UInt32))
    both = pl.concat([taken, decoded.rejections.select("tenant", "spans")])
    return both.group_by("tenant").agg(pl.col("spans").sum())


def _verdicts(
    requests: int, decoded: Decoded, stored: pl.DataFrame, rejections: pl.DataFrame
) -> list[Verdict]:
    accepted: Mapping[int, int] = dict(stored.group_by("request").len().rows())
    told = rejections.group_by("request", maintain_order=True).agg(
        pl.col("spans").sum(),
        message=pl.format("{} spans {}: {}", "spans", "reason", pl.col("detail").fill_null("")),
    )
    rejected = {request: (spans, "; ".join(said)) for request, spans, said in told.rows()}
    verdicts = []
    for request in range(requests):
        spans, message = rejected.get(request, (0, ""))
        verdicts.append(
            Verdict(
                accepted=accepted.get(request, 0),
                rejected=spans,
                message=message,
                refusal=decoded.refusals.get(request),
            )
        )
    return verdicts
