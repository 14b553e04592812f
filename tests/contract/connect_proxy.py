"""A tiny HTTP proxy that only knows CONNECT, for tests; it remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ConnectProxy:
    """Tunnels of one proxy: the request lines with their Proxy-Authorization, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.targets: list[str] = []
        self.authorizations: list[str] = []
        self._tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Open one tunnel."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        assert method == "CONNECT"
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        self.targets.append(target)
        self.authorizations.append(lines.get("Proxy-Authorization", ""))
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pump(reader, far_writer))
            tasks.create_task(_pump(far_reader, writer))

    def track(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task that ``close`` ends."""
        task = asyncio.ensure_future(self.serve(reader, writer))
        self._tunnels.add(task)
        task.add_done_callback(self._tunnels.discard)

    async def close(self) -> None:
        """End what is open."""
        for task in set(self._tunnels):
            task.cancel()
        if self._tunnels:
            await asyncio.wait(self._tunnels)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


@asynccontextmanager
async def serve_proxy() -> AsyncIterator[ConnectProxy]:
    """Run the proxy on a free port."""
    proxy = ConnectProxy()
    server = await asyncio.start_server(proxy.track, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
