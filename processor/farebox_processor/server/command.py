"""`farebox serve`: a configuration in, an exit code out."""

import asyncio
import logging
import sys
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import datetime
from typing import Final

from clickhouse_connect.driver.client import Client
from starlette.types import ASGIApp

from farebox_processor.clickhouse_endpoint import read_only_endpoint
from farebox_processor.config import Config
from farebox_processor.errors import ConfigError
from farebox_processor.live_traces import LiveTraces
from farebox_processor.pipeline import Rules, cost_requests
from farebox_processor.rules import load_rules
from farebox_processor.server.auth import Admission
from farebox_processor.server.export import Exporter
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.logs import set_up_logging
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.reloading import Reloading, reload_on_sighup
from farebox_processor.server.repair import Repair, Repairing
from farebox_processor.server.running import Ports, Work, serve
from farebox_processor.so_far import ConversationsSoFar
from farebox_processor.store.connect import is_embedded, open_client
from farebox_processor.store.loads import store_rules
from farebox_processor.store.migrations import migrate, pending
from farebox_processor.store.ratings import StoredRatings
from farebox_processor.store.refusals import CLIENT_ERRORS, store_error
from farebox_processor.store.writer import Writer

__all__ = ["run"]

_logger = logging.getLogger(__name__)

_STOPPED: Final = 0
_FORCED: Final = 1
_SETTLED_S: Final = 10
"""Rows follow their spans within a second or two, here and on other replicas."""


def run(config: Config) -> int:
    """Serve until told to stop, and return the exit code of the process.

    Raises FareboxError, in one sentence, for whatever keeps the server from starting.
    """
    set_up_logging(config.log, sys.stderr)
    metrics = Metrics()
    with ExitStack() as opened:
        work, repairing = _work(config, metrics, opened)
        try:
            ending = asyncio.run(serve(config, work, metrics, started=_log_start))
        finally:
            repaired = repairing.stop()
        if ending.requests_left or not repaired:
            # A flush or a repair still uses the clients, and nobody waits for it any more.
            opened.pop_all()
    _logger.info("stopped", extra=asdict(ending))
    return _FORCED if ending.forced else _STOPPED


def _work(config: Config, metrics: Metrics, opened: ExitStack) -> tuple[Work, Repairing]:
    """Load the rules, open the store, to be closed with `opened`, and begin to repair."""
    rules = load_rules(config)
    # The first run of the chain takes over a second, which no sender should have to wait.
    cost_requests([b""], [""], rules)
    dsn = config.store.dsn.reveal()
    client, checking, comparing = (
        opened.enter_context(closing(open_client(dsn, database=config.store.database)))
        for _ in range(3)
    )
    _bring_up_to_date(client, embedded=is_embedded(dsn))
    store_rules(client, rules)
    exporter = _exporter(config, metrics)
    ingest = _ingest(config, Writer(client), rules, metrics)
    ingest.keep_ratings = StoredRatings.of(client).keep
    ingest.export = exporter
    work = Work(
        flush=ingest.flush,
        bury=ingest.bury,
        check_store=lambda: _check_schema(checking),
        admission=Admission(config.tokens),
        follow_up=ingest.follow_up,
        finish=exporter.stop if exporter else lambda within_s: None,
        clickhouse_endpoint=_clickhouse_endpoint(config, dsn, opened),
    )
    repair = Repair(
        comparing,
        rules,
        metrics,
        ingest,
        horizon_s=config.live.repair_horizon_s,
        settled_s=_SETTLED_S,
    )

    def use(loaded: Rules) -> None:
        changed_at = _publish_beside(config, loaded)
        ingest.keep_ratings = StoredRatings(client, changed_at).keep
        ingest.rules = repair.rules = loaded

    # Tokens first, and whatever the prices are like: one may have to go at once.
    reload_on_sighup(
        Reloading("tokens", config.read_tokens, work.admission.take, metrics),
        Reloading("rules", lambda: load_rules(config), use, metrics),
    )
    return work, Repairing(repair, metrics, interval_s=config.live.repair_interval_s)


def _ingest(config: Config, writer: Writer, rules: Rules, metrics: Metrics) -> Ingest:
    return Ingest(
        writer,
        rules,
        LiveTraces(config.live.max_spans, config.live.idle_s),
        metrics,
        config.store.evidence,
        config.store.content,
        config.attributes.proposed_names,
        ConversationsSoFar(config.live.max_remembered_traces),
    )


def _exporter(config: Config, metrics: Metrics) -> Exporter | None:
    endpoint = config.export.endpoint
    return Exporter(config.export, endpoint, metrics) if endpoint else None


def _publish_beside(config: Config, rules: Rules) -> datetime | None:
    """Store the rules through a client of its own, while flushes use theirs.

    Return since when they are in force; null if they are the first.
    """
    dsn, database = config.store.dsn.reveal(), config.store.database
    with closing(open_client(dsn, database=database)) as client:
        store_rules(client, rules)
        return StoredRatings.of(client).changed_at


def _clickhouse_endpoint(config: Config, dsn: str, opened: ExitStack) -> ASGIApp | None:
    if not config.clickhouse_endpoint.enabled:
        return None
    if not is_embedded(dsn):
        raise ConfigError(
            "clickhouse_endpoint.enabled: only an embedded store has none of its own;"
            " query the server of store.dsn itself"
        )
    return opened.enter_context(read_only_endpoint(dsn, config.store.database))


def _bring_up_to_date(client: Client, *, embedded: bool) -> None:
    """Migrate an engine of our own; a server's tables are for its operator to change."""
    if embedded:
        migrate(client, str(client.database))
    _check_schema(client)


def _check_schema(client: Client) -> None:
    """Raise FareboxError unless the store answers and has the tables of this version."""
    try:
        missing = pending(client, str(client.database))
    except CLIENT_ERRORS as error:
        raise store_error(error) from error
    if missing:
        raise ConfigError(
            f"the database {client.database!r} lacks {missing[0].name}; run: farebox migrate"
        )


def _log_start(ports: Ports) -> None:
    _logger.info("serving", extra={f"{name}_port": port for name, port in asdict(ports).items()})
