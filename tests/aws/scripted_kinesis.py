"""A Kinesis that says exactly what a test tells it to, over real HTTP on loopback."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(answer: object, *, headers: dict[str, str] | None = None) -> Answer:
    """A good answer."""

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(text=json.dumps(answer), content_type="application/x-amz-json-1.1", headers=headers)

    return respond


def says_text(text: str, status: int = 200) -> Answer:
    """A body that may be anything."""

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type="application/x-amz-json-1.1")

    return respond


def refuses(code: str, message: str = "", status: int = 400) -> Answer:
    """An error as the service words it."""
    return says_text(json.dumps({"__type": code, "message": message}), status)


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """The connection closes without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def says_nothing(request: web.Request) -> web.StreamResponse:
    """The connection stays open, and nothing ever comes."""
    await asyncio.Event().wait()
    return web.Response()


async def drips(request: web.Request) -> web.StreamResponse:
    """A byte now and then: no read timeout ever strikes."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


class ScriptedKinesis:
    """Answers each operation from its script, in order; the last answer repeats."""

    def __init__(self) -> None:
        self.endpoint_url = ""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self._scripts: dict[str, list[Answer]] = defaultdict(list)

    def will(self, operation: str, *answers: Answer) -> None:
        """Set the script of an operation."""
        self._scripts[operation] = list(answers)

    def sent(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of every request of an operation, in order."""
        return [parameters for name, parameters in self.requests if name == operation]

    async def respond(self, request: web.Request) -> web.StreamResponse:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        self.requests.append((operation, json.loads(await request.read())))
        self.headers.append(dict(request.headers))
        script = self._scripts[operation]
        answer = script.pop(0) if len(script) > 1 else script[0]
        return await answer(request)


@asynccontextmanager
async def scripted_kinesis() -> AsyncIterator[ScriptedKinesis]:
    """Serve until the block ends."""
    service = ScriptedKinesis()
    app = web.Application()
    app.router.add_post("/", service.respond)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.endpoint_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()
