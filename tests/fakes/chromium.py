"""A real browser without a window, driven over its DevTools protocol; nothing but aiohttp is needed for that."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

_SECONDS = 30.0
_FLAGS = (
    "--headless=new", "--hide-scrollbars", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--ignore-certificate-errors",
    "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0", "about:blank",
)  # fmt: skip


class Chromium:
    """One tab. ``problems``: what the browser complained about, a breach of the page's own policy among it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.problems: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._saved = asyncio.Event()

    async def listen(self) -> None:
        """Take in what the browser tells, until the connection ends."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            elif told["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif told["method"] == "Page.downloadProgress" and told["params"]["state"] == "completed":
                self._saved.set()
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"{told['params']['entry']['text']} {told['params']['entry'].get('url', '')}")
            elif told["method"] == "Runtime.exceptionThrown":
                self.problems.append(str(told["params"]["exceptionDetails"].get("text")))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_SECONDS):
            told = await answer
        assert "error" not in told, f"{method}: {told}"
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, address: str) -> None:
        """Go to an address, and wait for the page."""
        self._loaded.clear()
        await self.call("Page.navigate", url=address)
        await self._wait()

    async def run(self, script: str) -> Any:
        """Return what a script of one expression says."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def click(self, selector: str) -> None:
        """Click on something that leads to another page."""
        self._loaded.clear()
        assert await self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (e) e.click(); return !!e; }})()"
        ), selector
        await self._wait()

    async def type(self, selector: str, text: str) -> None:
        """Write into a field."""
        await self.run(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(text)}")

    async def press(self, key: str) -> None:
        """Press a key, as somebody does who uses no mouse."""
        for kind in ("rawKeyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13, " ": 32}[key]
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    async def save(self, selector: str, folder: Path) -> bytes:
        """Click on something that is to be saved, and return what was."""
        await self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self._saved.clear()
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")
        async with asyncio.timeout(_SECONDS):
            await self._saved.wait()
        (file,) = folder.iterdir()
        return await asyncio.to_thread(file.read_bytes)

    async def picture(self, file: Path) -> None:
        """Keep a picture of the whole page."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["data"]))

    async def read(self) -> str:
        """Return the text of the page."""
        return str(await self.run("document.body.innerText"))

    async def look(self, *, width: int, scheme: str) -> None:
        """Be so wide, light or dark."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def _wait(self) -> None:
        async with asyncio.timeout(_SECONDS):
            await self._loaded.wait()


@asynccontextmanager
async def open_chromium(program: str, profile: Path) -> AsyncIterator[Chromium]:
    """Start the browser with a profile of its own, and end it."""
    process = await asyncio.create_subprocess_exec(
        program,
        f"--user-data-dir={profile}",
        *_FLAGS,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    drained: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(_SECONDS):
            while (found := re.search(rb"ws://(\S+?)/", await process.stderr.readline())) is None:
                assert process.returncode is None
        drained = asyncio.create_task(process.stderr.read(), name="what the browser says")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{found[1].decode()}/json") as answer:
                tab = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                browser = Chromium(socket)
                listening = asyncio.create_task(browser.listen(), name="listen to the browser")
                for domain in ("Page", "Runtime", "Log"):
                    await browser.call(f"{domain}.enable")
                yield browser
                with suppress(aiohttp.ClientError, ConnectionError):
                    await socket.close()
                await listening
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if drained is not None:
            await drained
