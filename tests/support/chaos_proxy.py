"""A TCP proxy that does what networks do: refuse, stall, reset, cut replies off, crawl."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

__all__ = ["ChaosProxy"]

_CHUNK = 65_536
_LOOK_AGAIN_S = 0.02


class ChaosProxy:
    """Stands before a port of this machine, in a thread of its own.

    `mode` may be set at any time: pass; refuse (close what connects); stall (take everything and
    pass on nothing until the mode changes); reset (end connections in the middle of a request);
    cut_reply (pass the request on and drop what is answered); slow (`bytes_per_s` each way).
    """

    def __init__(self, port: int, *, bytes_per_s: int = 50_000) -> None:
        self._target = port
        self._mode = "pass"
        self._bytes_per_s = bytes_per_s
        self._clients: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def mode(self) -> str:
        """What is being done to connections."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._mode = mode
        if mode == "refuse":
            self._loop.call_soon_threadsafe(lambda: [_reset(one) for one in self._clients])

    async def _stop(self) -> None:
        self._mode = "refuse"
        self._server.close()
        for client in self._clients:
            _reset(client)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._mode == "refuse":
            _reset(client)
            return
        self._clients.add(client)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(reader, to_server, client))
                both.create_task(self._replies(from_server, client))
        # Whatever ends a connection here is what the proxy is for.
        except* (OSError, _ConnectionOverError):
            _reset(client)
        finally:
            self._clients.discard(client)
            with suppress(UnboundLocalError):
                to_server.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        while content := await reader.read(_CHUNK):
            if self._mode == "reset":
                server.write(content[: len(content) // 2])
                await server.drain()
                _reset(client)
                break
            await self._dawdle(content)
            server.write(content)
            await server.drain()
        raise _ConnectionOverError

    async def _replies(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while content := await reader.read(_CHUNK):
            await self._dawdle(content)
            if self._mode == "cut_reply":
                break
            client.write(content)
            await client.drain()
        raise _ConnectionOverError

    async def _dawdle(self, content: bytes) -> None:
        if self._mode == "slow":
            await asyncio.sleep(len(content) / self._bytes_per_s)
        while self._mode == "stall":
            await asyncio.sleep(_LOOK_AGAIN_S)


class _ConnectionOverError(Exception):
    """One side has nothing more to say."""


def _reset(client: asyncio.StreamWriter) -> None:
    """Close so that the other side sees an error and no end."""
    connection = client.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            no_linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    client.transport.abort()
