"""`farebox demo`: a provider double, a real server and a chat service, then what it all cost."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import polars as pl
from rich.markup import escape

from farebox_processor.cli.bills import bill_object, bill_tree
from farebox_processor.cli.console import err, out, print_json
from farebox_processor.cli.pricing import conversation_table
from farebox_processor.cli.stored import totals_table
from farebox_processor.demo.farebox_server import FareboxServer
from farebox_processor.demo.processes import Process, answers, free_port, python, wait_for
from farebox_processor.demo.scenes import SCENES
from farebox_processor.explain import Explanation, explain
from farebox_processor.report import conversation_objects
from farebox_processor.store import queries
from farebox_processor.store.connect import open_client

__all__ = ["run_demo"]

_EXPLAINED: Final = "support-1005"
"""A fallback: two refused attempts at one provider, the answer from another."""
_PLAYED_WITHIN_S: Final = 120.0


def run_demo(*, keep: bool, as_json: bool) -> int:
    """Play the scenes through a real server and show what they cost. Returns the exit code.

    Raises ProcessFailedError, with the last lines of its log, if a process fails.
    """
    signal.signal(signal.SIGTERM, _leave)
    with tempfile.TemporaryDirectory(prefix="farebox-demo-") as name, ExitStack() as running:
        server = FareboxServer(Path(name))
        with err.status("starting farebox on the embedded ClickHouse") as status:
            process = running.enter_context(server.start())
            status.update(f"holding {len(SCENES)} conversations through the providers' SDKs")
            _play(server)
            status.update("waiting for the last conversation to be rolled up")
            _wait_for_rows(server, process)
        _show(server, as_json=as_json)
        if keep:
            _keep(server, process)
    return 0


def _leave(number: int, _: FrameType | None) -> NoReturn:
    """Leave by way of every `with`, so that no process and no file stays behind."""
    raise SystemExit(128 + number)


def _play(server: FareboxServer) -> None:
    """Hold every conversation and return when all spans have been acknowledged."""
    with _provider_double(server.folder) as provider:
        service = Process(
            "the chat service",
            python("-m", "farebox_processor.demo.chat_service"),
            log=server.folder / "chat-service.log",
            environment={
                "OPENAI_BASE_URL": f"{provider}/v1",
                "OPENAI_API_KEY": "demo",
                "ANTHROPIC_BASE_URL": provider,
                "ANTHROPIC_API_KEY": "demo",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.grpc_port}",
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
            },
        )
        with service:
            code = service.wait(_PLAYED_WITHIN_S)
        if code != 0:
            raise service.failed(f"ended with code {code}")


@contextmanager
def _provider_double(folder: Path) -> Iterator[str]:
    """Run the double of the providers' APIs in a process of its own; its address."""
    port = free_port()
    command = python("-m", "farebox_processor.demo.provider_double", str(port))
    address = f"http://127.0.0.1:{port}"
    with Process("the provider double", command, log=folder / "provider.log") as double:
        wait_for(lambda: answers(f"{address}/ledger"), double, what="answering")
        yield address


def _wait_for_rows(server: FareboxServer, process: Process) -> None:
    """Wait until every conversation has been rolled up: that follows the acknowledgement."""
    ended = "SELECT count() AS conversations FROM conversations WHERE conversation_ended"
    wait_for(
        lambda: server.query(ended)[0]["conversations"] == len(SCENES),
        process,
        what=f"rolling up {len(SCENES)} conversations",
    )


def _show(server: FareboxServer, *, as_json: bool) -> None:
    address = f"http://127.0.0.1:{server.clickhouse_port}"
    with closing(open_client(address)) as client:
        conversations = conversation_objects(queries.conversations(client, limit=len(SCENES)))
        explanation = explain(
            queries.spans_of_conversation(client, "", _EXPLAINED),
            queries.calls_of_conversation(client, "", _EXPLAINED),
        )
        totals = queries.totals(client, "feature")
    if as_json:
        print_json(_object(conversations, explanation, totals))
    else:
        _print(conversations, explanation, totals)


def _object(
    conversations: list[dict[str, Any]], explanation: Explanation, totals: pl.DataFrame
) -> dict[str, Any]:
    return {
        "conversations": conversations,
        "explained": {"conversation_id": _EXPLAINED} | bill_object(explanation),
        "totals_by_feature": totals.to_dicts(),
    }


def _print(
    conversations: list[dict[str, Any]], explanation: Explanation, totals: pl.DataFrame
) -> None:
    out.rule("What each conversation cost, the costliest first")
    out.print(conversation_table(conversations))
    out.print()
    for scene in SCENES:
        out.print(f"[dim]{scene.conversation_id:<14} {escape(scene.shows)}[/dim]")
    out.rule("Why one of them cost what it cost")
    out.print(bill_tree(f"[bold]{_EXPLAINED}[/bold]", explanation))
    out.rule("What each feature cost")
    out.print(totals_table("feature", totals))
    out.rule("What to try next")
    out.print(_NEXT, highlight=False)


_NEXT: Final = """\
farebox demo --keep                 leave the server up, and ask it more
farebox price YOUR-TRACES.jsonl     price spans that you have, without a server
farebox doctor YOUR-TRACES.jsonl    what your instrumentation hides, and what that is worth
farebox serve                       receive your own spans on ports 4317 and 4318"""


def _keep(server: FareboxServer, process: Process) -> None:
    """Leave the server up until Ctrl-C, and say how to ask it."""
    out.rule("farebox is up")
    for name, value in server.settings.items():
        out.print(f"export {name}={value}", highlight=False, soft_wrap=True)
    out.print("farebox conversations --feature support", highlight=False)
    out.print("farebox explain agent-3001", highlight=False)
    out.print("farebox totals tier", highlight=False)
    err.print(f"Ctrl-C ends it (process {process.pid}) and removes its data.")
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
