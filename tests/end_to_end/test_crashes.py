"""`kill -9`, at points that matter and at any other moment: what was acknowledged is there."""

import os
import random
import threading
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.demo.processes import wait_for
from support import crashing_server
from support.delivery import Sender, Server, calls, expected_costs, settle
from support.otlp_spans import OtlpCall

# The moments differ from run to run only with the seed; 50 of them take nine minutes.
KILLS = int(os.environ.get("FAREBOX_TEST_KILLS", "3"))
SEED = int(os.environ.get("FAREBOX_TEST_SEED", "7"))


def stored(client: Client) -> set[str]:
    return {span_id for (span_id,) in client.query("SELECT span_id FROM spans FINAL").result_rows}


def costs(client: Client) -> dict[str, object]:
    return dict(client.query("SELECT conversation_id, cost_usd FROM conversations").result_rows)


@pytest.mark.parametrize("point", crashing_server.POINTS)
def test_a_server_that_dies_there_has_every_span_it_acknowledged(
    point: str, shared: Client, clickhouse_port: int, tmp_path: Path
) -> None:
    everything = calls(conversations=8)
    server = Server(tmp_path, clickhouse_port, str(shared.database))

    with server.start(crashing_server.__file__, point, "5") as process:
        sender = Sender(server.grpc_port, list(everything)).start()
        sender.join()

    assert process.exit_code == 137
    assert {call.span_id for call in sender.acknowledged} <= stored(shared)
    settle(shared, sender.waiting)
    assert costs(shared) == expected_costs(everything)


@pytest.mark.timeout(300 + 20 * KILLS)
def test_a_server_killed_at_any_moment_has_every_span_it_acknowledged(
    shared: Client, clickhouse_port: int, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    unsent = calls(conversations=40 * KILLS)
    everything = list(unsent)
    acknowledged: list[OtlpCall] = []
    server = Server(tmp_path, clickhouse_port, str(shared.database))

    for _ in range(KILLS):
        with server.start() as process:
            sender = Sender(server.grpc_port, unsent).start()
            assert sender.some.wait(60)
            threading.Event().wait(chance.uniform(0, 1))
            process.kill()
            sender.join()
        acknowledged += sender.acknowledged

    assert {call.span_id for call in acknowledged} <= stored(shared)
    settle(shared, unsent)
    assert costs(shared) == expected_costs(everything)


def test_a_server_mends_at_its_start_what_another_one_left(
    shared: Client, clickhouse_port: int, tmp_path: Path
) -> None:
    everything = calls(conversations=4)
    server = Server(tmp_path, clickhouse_port, str(shared.database))
    with server.start(crashing_server.__file__, "after_ack", "1"):
        Sender(server.grpc_port, list(everything), threads=1).start().join()
    sent = [call for call in everything if call.span_id in stored(shared)]
    assert sent
    assert costs(shared) == {}

    with server.start(FAREBOX_LIVE__REPAIR_INTERVAL_S="1") as process:
        wait_for(lambda: bool(costs(shared)), process, what="having mended")

    assert costs(shared) == expected_costs(sent)
