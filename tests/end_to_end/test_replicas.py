"""Two servers on one ClickHouse, nobody routing between them: the rows are those of one server."""

import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from farebox_processor.demo.processes import wait_for
from support.delivery import (
    Sender,
    Server,
    calls,
    conversation_rows,
    expected_costs,
    settle,
)


def test_two_replicas_that_share_the_spans_and_repeats_make_the_rows_of_one(
    shared: Client, client: Client, clickhouse_port: int, tmp_path: Path
) -> None:
    chance = random.Random(5)
    everything = calls(conversations=12)
    servers = [Server(tmp_path, clickhouse_port, str(shared.database)) for _ in range(2)]
    shares: list[list[object]] = [[], []]
    for call in everything:
        first = chance.randrange(2)
        both = chance.random() < 0.3
        for number in (first, 1 - first)[: 1 + both]:
            shares[number].append(call)
    for share in shares:
        chance.shuffle(share)

    with servers[0].start(), servers[1].start():
        senders = [
            Sender(server.grpc_port, list(share)).start()
            for server, share in zip(servers, shares, strict=True)
        ]
        for sender in senders:
            sender.join()
    assert [sender.refusals for sender in senders] == [[], []]
    settle(shared, [])
    settle(client, everything)

    rows = conversation_rows(shared)
    assert rows == conversation_rows(client)
    costs = dict(shared.query("SELECT conversation_id, cost_usd FROM conversations").result_rows)
    assert costs == expected_costs(everything)


@pytest.mark.timeout(600)  # six starts of a server, which take long on a busy machine
def test_replicas_that_are_restarted_in_turn_under_load_lose_nothing(
    shared: Client, clickhouse_port: int, tmp_path: Path
) -> None:
    everything = calls(conversations=300)
    shuffled = random.Random(11).sample(everything, len(everything))
    servers = [Server(tmp_path, clickhouse_port, str(shared.database)) for _ in range(2)]
    with ExitStack() as running:
        processes = [running.enter_context(server.start()) for server in servers]
        senders = [
            Sender(server.grpc_port, shuffled[number::2], retries=True).start()
            for number, server in enumerate(servers)
        ]
        for number in (0, 1, 0, 1):
            sent, sent_by_other = (
                len(senders[which].acknowledged) for which in (number, 1 - number)
            )
            processes[number].stop()
            assert processes[number].exit_code == 0, processes[number].lines()
            processes[number] = running.enter_context(servers[number].start())
            wait_for(
                lambda sender=senders[number], before=sent: len(sender.acknowledged) > before + 20,
                processes[number],
                what="taking spans again",
            )
            # The load went on, and there was some left.
            assert len(senders[1 - number].acknowledged) > sent_by_other
            assert senders[number].waiting
        unsent = [call for sender in senders for call in sender.leave_off()]

    acknowledged = [call for sender in senders for call in sender.acknowledged]
    assert Counter(acknowledged + unsent) == Counter(everything)
    assert {call.span_id for call in acknowledged} <= stored(shared)
    settle(shared, unsent)
    costs = dict(shared.query("SELECT conversation_id, cost_usd FROM conversations").result_rows)
    assert costs == expected_costs(everything)


def stored(client: Client) -> set[str]:
    return {span_id for (span_id,) in client.query("SELECT span_id FROM spans FINAL").result_rows}
