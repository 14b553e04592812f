"""A real browser without a window: Debian's Chromium, driven by Selenium over WebDriver as a person would use it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

T = TypeVar("T")

_SECONDS = 30.0
_FLAGS = (
    "--headless=new", "--hide-scrollbars", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--ignore-certificate-errors", "--no-first-run", "--disable-background-networking",
)  # fmt: skip
_KEYS = {"Tab": Keys.TAB, "Enter": Keys.ENTER, " ": Keys.SPACE, "Down": Keys.ARROW_DOWN}


class Chromium:
    """One tab. The driver waits for the browser, so that each call is made in a thread: the pages' server goes on."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver

    async def open(self, address: str) -> None:
        """Go to an address, and wait for the page."""
        await asyncio.to_thread(self._driver.get, address)

    async def run(self, script: str) -> Any:
        """Return what a script of one expression says."""
        return await self._do(lambda driver: driver.execute_script(f"return ({script})"))

    async def click(self, selector: str) -> None:
        """Click on something that leads to another page, where it is seen, and wait for that page."""

        def click(driver: Chrome) -> None:
            page = driver.find_element(By.TAG_NAME, "html")
            self._find(selector).click()
            WebDriverWait(driver, _SECONDS).until(staleness_of(page))

        await self._do(click)

    async def type(self, selector: str, text: str) -> None:
        """Write into a field."""

        def write(_: Chrome) -> None:
            field = self._find(selector)
            field.clear()
            field.send_keys(text)

        await self._do(write)

    async def press(self, key: str) -> None:
        """Press a key, or type a text, as somebody does who uses no mouse."""
        await self._do(lambda driver: driver.switch_to.active_element.send_keys(_KEYS.get(key, key)))

    async def follow(self) -> None:
        """Press Enter where that leads to another page, and wait for that page."""

        def follow(driver: Chrome) -> None:
            page = driver.find_element(By.TAG_NAME, "html")
            driver.switch_to.active_element.send_keys(Keys.ENTER)
            WebDriverWait(driver, _SECONDS).until(staleness_of(page))

        await self._do(follow)

    async def save(self, selector: str, folder: Path) -> bytes:
        """Click on something that is to be saved, and return what was."""

        def save(driver: Chrome) -> bytes:
            driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
            self._find(selector).click()
            return WebDriverWait(driver, _SECONDS).until(lambda _: list(_list_saved(folder)))[0].read_bytes()

        return await self._do(save)

    async def picture(self, file: Path) -> None:
        """Keep a picture of the whole page."""
        wanted = {"format": "png", "captureBeyondViewport": True}
        answer = await self._do(lambda driver: driver.execute_cdp_cmd("Page.captureScreenshot", wanted))
        await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["data"]))

    async def read(self) -> str:
        """Return the text of the page."""
        return str(await self.run("document.body.innerText"))

    async def look(self, *, width: int, scheme: str) -> None:
        """Be so wide, light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        features = [{"name": "prefers-color-scheme", "value": scheme}]

        def look(driver: Chrome) -> None:
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

        await self._do(look)

    async def list_problems(self) -> list[str]:
        """Return complaints of the browser since the last time, also of breaches of the pages' own policy."""
        told = await self._do(lambda driver: driver.execute("getLog", {"type": "browser"})["value"])
        return [str(each["message"]) for each in told if each["level"] in ("SEVERE", "WARNING")]

    async def _do(self, work: Callable[[Chrome], T]) -> T:
        return await asyncio.to_thread(work, self._driver)

    def _find(self, selector: str) -> WebElement:
        return self._driver.find_element(By.CSS_SELECTOR, selector)


def _list_saved(folder: Path) -> Iterator[Path]:
    """Yield what is saved to its end; until then the browser gives it another name."""
    return (file for file in folder.iterdir() if not file.name.startswith(".") and file.suffix != ".crdownload")


@asynccontextmanager
async def open_chromium(program: str, driver: str, profile: Path) -> AsyncIterator[Chromium]:
    """Start the browser with a profile of its own, by the driver that came with it, and end both."""
    options = ChromeOptions()
    options.binary_location = program
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "WARNING"})
    opened = await asyncio.to_thread(Chrome, options, ChromeService(driver))
    try:
        await asyncio.to_thread(opened.set_page_load_timeout, _SECONDS)
        yield Chromium(opened)
    finally:
        await asyncio.to_thread(opened.quit)
