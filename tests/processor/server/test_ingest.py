"""The chain between requests and tables: what is stored, told and counted for each request."""

from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from farebox_processor.dialects import load_dialects
from farebox_processor.errors import BadRequestError, RetryableStoreError
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book
from farebox_processor.server.flush import Verdict
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.steady_roll_up import roll_up_steadily
from farebox_processor.short_texts import LONGEST_TEXT
from farebox_processor.store.writer import Writer

CORPUS = Path(__file__).parents[2] / "fixtures" / "corpus"


class AwayFor(Writer):
    """A writer to which ClickHouse refuses one table, for now."""

    refused = ""

    def write(self, table, frame, *dictionaries):
        if table == self.refused:
            raise RetryableStoreError("ClickHouse is away")
        return super().write(table, frame, *dictionaries)


@pytest.fixture(scope="module")
def rules():
    return Rules(dialects=load_dialects(), book=load_price_book(), plans=load_plans())


@pytest.fixture
def ingest(client, rules):
    return Ingest(AwayFor(client), rules, LiveTraces(10_000), Metrics(), "none")


@pytest.fixture
def recording():
    """Return a function that reads a recorded request."""
    return lambda case: (CORPUS / case / "case.pb").read_bytes()


def count(client, table):
    return client.query(f"SELECT count() FROM {table} FINAL").result_rows[0][0]  # noqa: S608


def table(client, name):
    rows = f"SELECT * EXCEPT stored_at FROM {name} FINAL ORDER BY ALL"  # noqa: S608
    return client.query(rows).result_rows


def spans_in(body):
    request = ExportTraceServiceRequest.FromString(body)
    return sum(len(scope.spans) for one in request.resource_spans for scope in one.scope_spans)


def counted(metrics):
    """Return the span counters that are not 0, by name and labels."""
    return {
        (sample.name.removeprefix("farebox_spans_").removesuffix("_total"), *labels): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("farebox_spans_") and sample.name.endswith("_total")
        if (labels := tuple(sample.labels.values())) is not None
        and sample.value
        and "unpriced" not in sample.name
    }


def test_each_request_of_a_flush_is_stored_and_told_its_number_of_spans(ingest, client, recording):
    bodies = [recording("go_openai_tool_loop"), b"", recording("ga_anthropic_chat")]

    verdicts = ingest.flush(bodies, ["acme", "acme", "globex"])

    tool_loop, chat = spans_in(bodies[0]), spans_in(bodies[2])
    assert verdicts == [Verdict(tool_loop), Verdict(), Verdict(chat)]
    assert count(client, "spans") == tool_loop + chat
    assert counted(ingest.metrics) == {
        ("received", "acme"): tool_loop,
        ("received", "globex"): chat,
        ("stored", "acme"): tool_loop,
        ("stored", "globex"): chat,
    }


def test_spans_are_counted_under_who_was_let_in_and_not_under_whom_they_name(ingest):
    request = ExportTraceServiceRequest()
    for number in range(1, 101):
        scope = request.resource_spans.add().scope_spans.add()
        span = scope.spans.add(name="ride", trace_id=bytes([number]) * 16, span_id=b"s" * 8)
        span.attributes.add(key="farebox.tenant.id").value.string_value = f"tenant-{number}"

    ingest.flush([request.SerializeToString()], [""])

    assert counted(ingest.metrics) == {("received", ""): 100, ("stored", ""): 100}


def test_texts_of_a_span_are_held_up_to_a_length_and_the_call_is_priced(ingest, client):
    request = ExportTraceServiceRequest.FromString(call(1, "a"))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.name = "n" * 100_000
    for key in ("user.id", "gen_ai.response.id"):
        span.attributes.add(key=key).value.string_value = "x" * 100_000

    ingest.flush([request.SerializeToString()], ["acme"])

    lengths = "SELECT length(span_name), length(user_id), length(response_id) FROM spans"
    assert client.query(lengths).result_rows == [(LONGEST_TEXT,) * 3]
    assert client.query("SELECT cost_status FROM spans").result_rows == [("exact",)]
    assert ingest.metrics.registry.get_sample_value("farebox_texts_cut_total") == 3


def test_what_is_not_read_of_a_span_that_has_too_much_is_counted(ingest):
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    for _ in range(130):
        span.events.add(name="token")

    ingest.flush([request.SerializeToString()], [""])

    assert ingest.metrics.registry.get_sample_value("farebox_parts_dropped_total") == 2


def test_a_bad_request_is_refused_and_its_neighbour_is_stored(ingest, client, recording):
    good = recording("go_openai_chat")

    garbage, stored = ingest.flush([b"\xff garbage", good], ["acme", ""])

    assert isinstance(garbage.refusal, BadRequestError)
    assert stored == Verdict(spans_in(good))
    assert count(client, "spans") == spans_in(good)
    assert client.query("SELECT tenant, reason FROM dead_letter").result_rows == [
        ("acme", "undecodable")
    ]


def test_bad_spans_are_told_and_set_aside_and_their_siblings_are_stored(ingest, client):
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(name="good", trace_id=b"t" * 16, span_id=b"s" * 8)
    spans.add(name="no id", span_id=b"s" * 8)

    (verdict,) = ingest.flush([request.SerializeToString()], ["acme"])

    assert (verdict.accepted, verdict.rejected, verdict.refusal) == (1, 1, None)
    assert verdict.message.startswith("1 spans invalid_trace_id: ")
    assert client.query("SELECT span_name FROM spans FINAL").result_rows == [("good",)]
    assert client.query("SELECT tenant, reason FROM dead_letter").result_rows == [
        ("acme", "invalid_trace_id")
    ]
    assert counted(ingest.metrics) == {
        ("received", "acme"): 2,
        ("stored", "acme"): 1,
        ("rejected", "acme", "invalid_trace_id"): 1,
    }


@pytest.mark.parametrize("refused", ["spans", "dead_letter"])
def test_while_clickhouse_is_away_nothing_is_acknowledged(refused, ingest, recording):
    body = recording("go_openai_chat")
    ingest.writer.refused = refused

    with pytest.raises(RetryableStoreError):
        ingest.flush([body, b"\xff garbage"], ["", ""])

    assert counted(ingest.metrics) == {
        ("received", ""): spans_in(body),
        ("unacknowledged", ""): spans_in(body),
    }


@pytest.mark.parametrize(("evidence", "kept"), [("all", 3), ("genai", 2), ("none", 0)])
def test_spans_are_kept_as_they_came_where_that_is_wanted(evidence, kept, ingest, client):
    ingest.evidence = evidence
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.add(name="GET /", trace_id=b"t" * 16, span_id=b"1" * 8)
    for span_id in (b"2" * 8, b"3" * 8):
        call = scope.spans.add(name="chat", trace_id=b"t" * 16, span_id=span_id)
        call.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        call.attributes.add(key="gen_ai.request.model").value.string_value = "gpt-4o"

    ingest.flush([request.SerializeToString()], [""])

    assert client.query("SELECT count() FROM otel_traces").result_rows == [(kept,)]


def call(number, trace, conversation="c", *, operation="chat", parent=None, response=None):
    """Return a request with one call of 1 100 tokens; number and parent tell the spans apart."""
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            name=operation,
            trace_id=trace.encode() * 16,
            span_id=bytes([number]) * 8,
            parent_span_id=bytes([parent]) * 8 if parent else b"",
            start_time_unix_nano=1_795_000_000_000_000_000 + (0 if operation != "chat" else number),
            end_time_unix_nano=1_795_000_001_000_000_000 + number,
        )
    )
    for key, value in (
        ("gen_ai.conversation.id", conversation),
        ("gen_ai.operation.name", operation),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-4o"),
        ("gen_ai.response.model", "gpt-4o-2024-08-06"),
        ("gen_ai.response.id", response or f"r{number}"),
    ):
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 1000
    span.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 100
    return request.SerializeToString()


def so_far(client, trace, number):
    """Return cost, turns and tier so far, as attached to the span last stored under these ids."""
    attached = ", ".join(f"SpanAttributes['farebox.conversation.{name}']" for name in _SO_FAR)
    ids = {"trace": (trace.encode() * 16).hex(), "span": bytes([number]).hex() * 8}
    where = "TraceId = {trace:String} AND SpanId = {span:String}"
    rows = f"SELECT {attached} FROM otel_traces FINAL WHERE {where}"  # noqa: S608
    return client.query(rows, parameters=ids).result_rows[0]


_SO_FAR = ("cost_usd", "turns", "tier", "tier_price_usd")


def test_each_call_is_told_what_its_conversation_cost_so_far(ingest, client):
    ingest.evidence = "all"
    flushes = [
        # 1000 x $2.50 and 100 x $10 per million are $0.0035
        [call(1, "a"), call(2, "x", "other")],
        [call(3, "b"), call(4, "d")],
        [call(5, "e"), call(6, "e")],
    ]

    for bodies in flushes:
        ingest.flush(bodies, [""] * len(bodies))
        ingest.follow_up()

    assert so_far(client, "a", 1) == ("0.0035", "1", "simple", "0.02")
    assert so_far(client, "x", 2) == ("0.0035", "1", "simple", "0.02")
    assert so_far(client, "b", 3) == so_far(client, "d", 4) == ("0.0105", "3", "simple", "0.02")
    # 5 calls of 1 100 tokens are no longer below 5 000.
    assert so_far(client, "e", 5) == so_far(client, "e", 6) == ("0.0175", "5", "standard", "0.05")


def test_what_comes_again_is_not_counted_again(ingest, client):
    ingest.evidence = "all"
    for bodies in ([call(1, "a")], [call(2, "b")], [call(1, "a"), call(2, "b"), call(1, "a")]):
        ingest.flush(bodies, [""] * len(bodies))
        ingest.follow_up()

    assert so_far(client, "a", 1)[:2] == so_far(client, "b", 2)[:2] == ("0.007", "2")


def test_an_agent_that_repeats_its_calls_adds_nothing_so_far(ingest, client):
    ingest.evidence = "all"
    ingest.flush([call(2, "a", parent=1)], [""])
    ingest.follow_up()

    ingest.flush([call(1, "a", operation="invoke_agent")], [""])

    assert so_far(client, "a", 1)[:2] == ("0.0035", "1")


def span_id(number):
    return (bytes([number]) * 8).hex()


@pytest.fixture
def rolled_up(monkeypatch):
    """Return a list to which each roll up adds the ids of its spans."""
    rolled_up = []

    def noted(spans, *rest):
        rolled_up.append(sorted(spans["span_id"]))
        return roll_up_steadily(spans, *rest)

    monkeypatch.setattr("farebox_processor.server.ingest.roll_up_steadily", noted)
    return rolled_up


def test_what_a_flush_comes_to_is_worked_out_once(ingest, client, rolled_up):
    ingest.evidence = "all"
    for number, trace in enumerate("abb", 1):
        ingest.flush([call(number, trace)], [""])
        ingest.follow_up()

    assert rolled_up == [[span_id(1)], [span_id(2)], [span_id(2), span_id(3)]]
    assert count(client, "calls") == 3


def test_what_a_flush_comes_to_is_worked_out_again_where_other_spans_were_stored(
    ingest, client, rolled_up
):
    ingest.evidence = "all"
    ingest.flush([call(1, "a"), call(2, "b")], ["", ""])
    ingest.flush([call(3, "b")], [""])

    ingest.follow_up()

    everything = [span_id(1), span_id(2), span_id(3)]
    assert rolled_up == [everything[:2], everything[2:], everything]
    assert client.query("SELECT max(billed_calls) FROM traces FINAL").result_rows == [(2,)]


def test_the_largest_traces_are_rolled_up_only_after_the_answers(
    ingest, client, rolled_up, monkeypatch
):
    monkeypatch.setattr("farebox_processor.server.ingest._SPANS_LOOKED_AT", 0)
    ingest.evidence = "all"
    large = [call(number, "a") for number in range(1, 6)]
    ingest.flush(large, [""] * len(large))
    ingest.follow_up()

    ingest.flush([call(6, "a"), call(7, "b", "other")], ["", ""])
    assert so_far(client, "b", 7)[:2] == ("0.0035", "1")
    ingest.follow_up()

    of_a = [span_id(number) for number in range(1, 7)]
    assert rolled_up == [of_a[:5], [span_id(7)], [*of_a, span_id(7)]]
    assert client.query("SELECT max(billed_calls) FROM traces FINAL").result_rows == [(6,)]


def test_a_call_of_a_trace_that_is_too_large_is_not_told_again_for_one_that_shares_it(
    ingest, client, monkeypatch
):
    monkeypatch.setattr("farebox_processor.server.ingest._SPANS_LOOKED_AT", 0)
    ingest.evidence = "all"
    ingest.flush([call(number, "a") for number in range(1, 6)], [""] * 5)
    ingest.follow_up()

    ingest.flush([call(6, "b", response="r1")], [""])

    assert so_far(client, "b", 6) == ("", "", "", "")


def test_a_mistake_in_what_is_told_so_far_costs_no_data(ingest, client, monkeypatch):
    ingest.evidence = "all"
    monkeypatch.setattr(ingest.so_far, "_rows", None)

    [verdict] = ingest.flush([call(1, "a")], [""])

    assert (verdict, count(client, "spans"), count(client, "otel_traces")) == (Verdict(1), 1, 1)
    assert so_far(client, "a", 1)[0] == ""
    assert ingest.metrics.errors.labels("so_far")._value.get() == 1


def test_calls_and_traces_follow_the_answer(ingest, client, recording):
    ingest.flush([recording("go_openai_chat")], [""])
    before = (count(client, "calls"), count(client, "traces"))

    ingest.follow_up()

    assert (before, count(client, "calls"), count(client, "traces")) == ((0, 0), 1, 1)


def test_traces_that_could_not_be_stored_are_stored_after_the_next_flush(ingest, client, recording):
    ingest.flush([recording("go_openai_chat")], [""])
    ingest.writer.refused = "traces"
    with pytest.raises(RetryableStoreError):
        ingest.follow_up()
    ingest.writer.refused = ""

    ingest.flush([recording("ga_anthropic_chat")], [""])
    ingest.follow_up()

    assert count(client, "traces") == 2


def trace_ids(client):
    return client.query("SELECT trace_id FROM traces FINAL ORDER BY ALL").result_rows


def test_a_trace_that_breaks_the_roll_up_holds_up_no_other(
    ingest, client, caplog, roll_up_fails_for
):
    bad = (b"c" * 16).hex()
    roll_up_fails_for(bad)
    bodies = [call(number, trace) for number, trace in enumerate("abcdefg", 1)]

    ingest.flush(bodies, [""] * len(bodies))
    ingest.follow_up()

    assert trace_ids(client) == [((trace.encode() * 16).hex(),) for trace in "abdefg"]
    assert ingest.metrics.errors.labels("roll_up")._value.get() == 1
    [said] = [one for one in caplog.records if one.message == "traces could not be rolled up"]
    assert (said.traces, str(said.exc_info[1])) == ([("", bad)], f"a mistake in {bad}")


def test_a_trace_that_breaks_the_roll_up_is_not_tried_again_with_every_flush(
    ingest, client, roll_up_fails_for
):
    roll_up_fails_for((b"c" * 16).hex())
    for number, trace in enumerate("cab", 1):
        ingest.flush([call(number, trace)], [""])
        ingest.follow_up()

    assert ingest.metrics.errors.labels("roll_up")._value.get() == 1
    assert trace_ids(client) == [((trace.encode() * 16).hex(),) for trace in "ab"]


def test_sending_everything_again_changes_no_row(ingest, client, recording):
    bodies = [recording("go_openai_tool_loop"), recording("ga_anthropic_tool_loop")]
    ingest.flush(bodies, ["", ""])
    ingest.follow_up()
    tables = ("spans", "calls", "traces")
    before = {name: table(client, name) for name in tables}

    ingest.flush(bodies[::-1], ["", ""])
    ingest.follow_up()

    assert {name: table(client, name) for name in tables} == before


def test_a_request_that_breaks_the_server_is_kept_with_its_reason(ingest, client, recording):
    body = recording("go_openai_tool_loop")

    verdict = ingest.bury(body, "acme", "ValueError: boom")

    assert verdict.rejected == spans_in(body)
    assert client.query("SELECT tenant, reason, detail FROM dead_letter").result_rows == [
        ("acme", "unexpected_error", "ValueError: boom")
    ]
    assert counted(ingest.metrics) == {
        ("received", "acme"): spans_in(body),
        ("rejected", "acme", "unexpected_error"): spans_in(body),
    }
