"""ClickHouse behind a bad network: senders are asked to try again, and nothing counts twice."""

from pathlib import Path

import grpc
import pytest
from clickhouse_connect.driver.client import Client

from support.chaos_proxy import ChaosProxy
from support.delivery import Sender, Server, calls, expected_costs, settle

# What a sender is told in time to try again: it has not given up by then.
TRY_AGAIN = {grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize("fault", ["refuse", "stall", "reset", "cut_reply", "slow"])
def test_while_the_network_fails_senders_try_again_and_nothing_is_lost_or_doubled(
    fault: str, shared: Client, clickhouse_port: int, tmp_path: Path
) -> None:
    everything = calls(conversations=6)
    half = len(everything) // 2
    with ChaosProxy(clickhouse_port) as proxy:
        server = Server(tmp_path, proxy.port, str(shared.database))
        with server.start(FAREBOX_SERVER__ANSWER_WITHIN_MS="1000"):
            before = Sender(server.grpc_port, everything[:half], retries=True).start()
            before.join()
            proxy.mode = fault
            during = Sender(server.grpc_port, everything[half:], threads=2).start()
            during.join()
            proxy.mode = "pass"
            after = Sender(server.grpc_port, during.waiting, retries=True).start()
            after.join()

    told = set(during.refusals) | set(after.refusals)
    assert told <= TRY_AGAIN
    assert during.refusals or fault == "slow"
    acknowledged = [*before.acknowledged, *during.acknowledged, *after.acknowledged]
    assert sorted(call.span for call in acknowledged) == [call.span for call in everything]
    settle(shared, [])
    found = dict(shared.query("SELECT conversation_id, cost_usd FROM conversations").result_rows)
    assert found == expected_costs(everything)
