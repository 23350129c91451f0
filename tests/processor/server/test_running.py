"""The life of a server in a process of its own: signals, grace, exit."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

# A server whose flush says when it begins and ends when it is told to.
PROGRAM = """
import asyncio, dataclasses, json, sys
from farebox_processor.config import Config, FlushConfig, ServerConfig
from farebox_processor.server.flush import Verdict
from farebox_processor.server.auth import Admission
from farebox_processor.server.metrics import Metrics
from farebox_processor.server.running import Work, serve

def say(**what):
    print(json.dumps(what), flush=True)

def flush(bodies, tenants):
    say(flushing=len(bodies))
    sys.stdin.readline()
    return [Verdict(accepted=1)] * len(bodies)

config = Config(
    server=ServerConfig(grpc_port=0, http_port=0, admin_port=0, shutdown_grace_s=int(sys.argv[1])),
    flush=FlushConfig(interval_ms=0),
)
work = Work(flush, bury=None, check_store=lambda: None, admission=Admission([]))
started = lambda ports: say(**dataclasses.asdict(ports))
ending = asyncio.run(serve(config, work, Metrics(), started=started))
say(**dataclasses.asdict(ending))
"""


class ServerProcess:
    """A server that is talked to over its pipes."""

    def __init__(self, grace_s: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(grace_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = 0
        self.replies: list[grpc.StatusCode] = []

    def heard(self) -> dict[str, object]:
        return json.loads(self.process.stdout.readline())

    def let_go(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def send(self) -> threading.Thread:
        """Send a request beside the test, and return when the server flushes it."""
        sender = threading.Thread(target=self._send)
        sender.start()
        assert self.heard() == {"flushing": 1}
        return sender

    def _send(self) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            try:
                channel.unary_unary(EXPORT)(b"\n\x00", timeout=20)
            except grpc.RpcError as error:
                self.replies.append(error.code())
            else:
                self.replies.append(grpc.StatusCode.OK)


@pytest.fixture
def start() -> Iterator[Callable[[int], ServerProcess]]:
    servers: list[ServerProcess] = []

    def start_server(grace_s: int) -> ServerProcess:
        servers.append(ServerProcess(grace_s))
        servers[-1].port = servers[-1].heard()["grpc"]
        return servers[-1]

    yield start_server
    for server in servers:
        server.process.kill()
        server.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_finished_before_the_end(number, start):
    server = start(20)
    sender = server.send()

    server.process.send_signal(number)
    server.let_go()
    sender.join(20)

    assert server.heard() == {"requests_left": 0, "forced": False}
    assert (server.process.wait(10), server.replies) == (0, [grpc.StatusCode.OK])


def test_after_the_grace_the_server_ends_and_says_how_many_were_left(start):
    server = start(1)
    sender = server.send()

    server.process.send_signal(signal.SIGTERM)
    ending = server.heard()
    sender.join(20)

    assert ending == {"requests_left": 1, "forced": False}
    assert server.process.wait(10) == 0
    assert server.replies[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_a_second_signal_does_not_wait(start):
    server = start(3_600)
    sender = server.send()

    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)
    # Signals of one kind that are pending together arrive as one.
    server.process.send_signal(signal.SIGINT)
    ending = server.heard()
    sender.join(20)

    assert ending == {"requests_left": 1, "forced": True}
