"""The body of an answer, read within limits: of size, of values, and of how many large ones are read at a time.

It is held in memory once. The buffer is closed whatever happens, since the frames of an error would keep what is in it.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import aiohttp

from syncd.errors import ProtocolError
from syncd.http.options import HttpOptions

_CHUNK = 1 << 16
_LARGE_BYTES = 2 << 20
"""Answers beyond that are read on one at a time."""


async def read_body(answer: aiohttp.ClientResponse, options: HttpOptions, *, name: str, large: asyncio.Lock) -> bytes:
    """Return the whole body, but never more than the limits of ``options``, also of what decompresses to more.

    Of an error it is a part that is enough for anybody who looks at it. Raises ProtocolError beyond a limit, and what
    aiohttp raises. ``large`` is shared by all requests to one side.
    """
    limit, announced = options.size_limit, answer.content_length
    if announced is not None and announced <= min(_CHUNK, limit) and "Content-Encoding" not in answer.headers:
        return await answer.read()
    chunks = answer.content.iter_chunked(_CHUNK)
    with io.BytesIO() as content:
        async for chunk in chunks:
            content.write(chunk)
            if content.tell() > min(_LARGE_BYTES, limit):
                break
        else:
            return content.getvalue()
        if answer.status >= 300:
            return content.getvalue()
        async with large:
            return await _read_on(content.getvalue(), chunks, options, name=name, status=answer.status)


async def _read_on(
    begun: bytes, chunks: AsyncIterator[bytes], options: HttpOptions, *, name: str, status: int
) -> bytes:
    limit, most = options.size_limit, options.most_values
    with io.BytesIO(bytes(limit + _CHUNK)) as content:  # what is not written to costs no memory
        content.write(begun)
        while content.tell() <= limit:
            chunk = await anext(chunks, b"")
            content.write(chunk)
            if not chunk:
                break
        else:
            raise ProtocolError(f"{name}: an answer is larger than {limit} bytes", status=status)
        content.truncate()
        if content.getvalue().count(b",") >= most:
            raise ProtocolError(f"{name}: an answer has more than {most} values", status=status)
        return content.getvalue()
