"""Two servers on one ClickHouse, nobody routing between them: the rows are those of one server."""

import random
from pathlib import Path

from clickhouse_connect.driver.client import Client

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
