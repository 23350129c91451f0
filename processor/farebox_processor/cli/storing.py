"""`farebox migrate` and `farebox ingest`: what changes the store."""

import urllib.error
import urllib.request
from collections.abc import Iterable
from http.client import HTTPException
from typing import Annotated

import typer
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rich.progress import Progress

from farebox_processor.cli.console import err, out, print_json, say_and_exit, told_plainly
from farebox_processor.cli.files import OtlpRequest, read_requests
from farebox_processor.cli.options import ConfigFile, Files, Json, Tenant, load_config
from farebox_processor.cli.stores import writing
from farebox_processor.config import Config
from farebox_processor.errors import BadRequestError, ConfigError, RetryableStoreError
from farebox_processor.live_traces import LiveTraces
from farebox_processor.rules import load_rules
from farebox_processor.server.ingest import Ingest
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.repair import Repair
from farebox_processor.store.loads import store_rules
from farebox_processor.store.migrations import migrate, pending, render
from farebox_processor.store.ratings import StoredRatings
from farebox_processor.store.writer import Writer

__all__ = ["ingest", "migrate_command"]

_SEND_SECONDS = 30


def migrate_command(
    *,
    dry_run: Annotated[bool, typer.Option(help="Only list what would be applied.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the statements.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Create or update the tables. Safe to repeat.

    Examples:

    - `farebox migrate --dry-run`
    - `FAREBOX_STORE__DSN=clickhouse://migrator:secret@db:8123 farebox migrate`
    """
    if sql:
        typer.echo(render())
        return
    with told_plainly():
        settings = load_config(config)
        with writing(settings) as client:
            database = str(client.database)
            names = (
                [migration.name for migration in pending(client, database)]
                if dry_run
                else migrate(client, database)
            )
    if json:
        print_json({"database": database, "dry_run": dry_run, "migrations": names})
    elif not names:
        out.print(f"{database} is up to date")
    else:
        verb = "would be applied" if dry_run else "applied"
        out.print(f"{database}: {verb}: {', '.join(names)}")


def ingest(
    files: Files,
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(help="OTLP/HTTP address of a running server, as http://127.0.0.1:4318."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="FAREBOX_TOKEN", help="Bearer token for the endpoint.")
    ] = None,
    tenant: Tenant = "",
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Store the spans of OTLP files, as if they had been sent.

    Sending again changes nothing.

    Examples:

    - `farebox ingest traces.jsonl`
    - `farebox ingest exported/ --endpoint http://127.0.0.1:4318`
    """
    if endpoint and tenant:
        say_and_exit("with --endpoint the token decides the tenant; leave --tenant out", code=2)
    with told_plainly():
        requests = list(read_requests(files))
        with Progress(console=err, transient=True) as progress:
            steps = progress.track(requests, description="storing")
            if endpoint:
                rejected = [_send(each, endpoint, token) for each in steps]
                result = {"requests_sent": len(rejected), "spans_rejected": sum(rejected)}
            else:
                result = _store(steps, tenant, load_config(config))
    if json:
        print_json(result)
    else:
        out.print(", ".join(f"{value} {name.replace('_', ' ')}" for name, value in result.items()))


def _store(requests: Iterable[OtlpRequest], tenant: str, config: Config) -> dict[str, int]:
    """Store requests through the very flush that the server uses."""
    rules = load_rules(config)
    taken = rejected = 0
    with writing(config) as client:
        migrate(client, str(client.database))
        store_rules(client, rules)
        live = LiveTraces(config.live.max_spans)
        # Files are read once more where rows of theirs were deleted: that is no repeat.
        writer = Writer(client, deduplicate=False)
        ingest_ = Ingest(
            writer, rules, live, Metrics(), config.store.evidence, config.store.content
        )
        ingest_.keep_ratings = StoredRatings.of(client).keep
        for request in requests:
            [verdict] = ingest_.flush([request.body], [tenant])
            if verdict.refusal is not None:
                raise type(verdict.refusal)(f"{request.where}: {verdict.refusal}")
            taken, rejected = taken + verdict.accepted, rejected + verdict.rejected
        ingest_.follow_up()
        Repair(client, rules, ingest_.metrics).run()
    return {"spans_stored": taken, "spans_rejected": rejected}


def _send(request: OtlpRequest, endpoint: str, token: str | None) -> int:
    """Send one request to a server; return how many of its spans that did not take."""
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"{endpoint!r} is no address; write http://127.0.0.1:4318")
    headers = {"Content-Type": "application/x-protobuf"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    export = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        f"{endpoint.rstrip('/')}/v1/traces", request.body, headers
    )
    try:
        with urllib.request.urlopen(export, timeout=_SEND_SECONDS) as answer:  # noqa: S310 - the same
            answered = ExportTraceServiceResponse.FromString(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        said = f"{request.where}: {endpoint} answers {error.code} {error.reason}"
        raise BadRequestError(said) from error
    except (OSError, HTTPException) as error:
        raise RetryableStoreError(f"nobody takes spans at {endpoint}: {error}") from error
    except DecodeError as error:
        raise BadRequestError(f"{endpoint} does not answer as OTLP/HTTP does") from error
    return int(answered.partial_success.rejected_spans)
