"""`farebox serve` sends what a stock exporter sent it on, with what it attached."""

from pathlib import Path

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from farebox_processor.demo.farebox_server import FareboxServer
from farebox_processor.demo.processes import Process, answers, python, wait_for
from support.otlp_downstream import Downstream, spans_in
from support.traffic import send


def test_a_server_that_is_told_to_stop_has_sent_on_all_it_acknowledged(tmp_path: Path) -> None:
    downstream = Downstream()
    receiver = downstream.listen()
    server = FareboxServer(tmp_path)
    process = Process(
        "farebox serve",
        python("-m", "farebox_processor", "serve"),
        log=server.log,
        environment={
            **server.settings,
            "FAREBOX_EXPORT__ENDPOINT": f"127.0.0.1:{downstream.port}",
            "FAREBOX_EXPORT__INSECURE": "true",
            "FAREBOX_ATTRIBUTES__PROPOSED_NAMES": "true",
        },
    )
    with process:
        ready = f"http://127.0.0.1:{server.admin_port}/readyz"
        wait_for(lambda: answers(ready), process, what="being ready for spans")
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{server.grpc_port}", insecure=True)
        sent = send(exporter, conversation_id="sent on")

    receiver.stop(None).wait()
    got = {span.name: span for request in downstream.taken for span in spans_in(request)}
    assert got.keys() == {span.name for span in sent}
    attributes = {one.key: one.value for one in got["chat gpt-4o"].attributes}
    # 1000 x $2.50 and 100 x $10 per million
    assert attributes["farebox.cost.usd"].string_value == "0.0035"
    assert attributes["farebox.conversation.cost_usd"].string_value == "0.0035"
    assert attributes["gen_ai.usage.cost.amount"].double_value == 0.0035
    assert not [one for one in got["save"].attributes if one.key.startswith("farebox.")]
