"""A Kinesis that says exactly what a test tells it to, over real HTTP on loopback."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from aiohttp import web

from kcl_py.aws.connection import Connection
from kcl_py.aws.kinesis import KinesisStream

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


def connected(service: ScriptedKinesis, stream: str = "orders", **options: Any) -> KinesisStream:
    settings: dict[str, Any] = {
        "endpoint_url": service.endpoint_url,
        "region": "eu-west-1",
        "patience_seconds": 0.0,
    } | options
    return KinesisStream(Connection(stream, **settings))


@contextmanager
def scripted_kinesis() -> Iterator[ScriptedKinesis]:
    """Serve until the block ends, from a thread and loop of its own: its tasks are none of the test's."""
    service = ScriptedKinesis()
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="scripted-kinesis")
    thread.start()
    runner = web.AppRunner(_application(service), shutdown_timeout=0.1)
    try:
        asyncio.run_coroutine_threadsafe(_listen(runner), loop).result()
        service.endpoint_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        asyncio.run_coroutine_threadsafe(_close(runner), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _application(service: ScriptedKinesis) -> web.Application:
    app = web.Application()
    app.router.add_post("/", service.respond)
    return app


async def _listen(runner: web.AppRunner) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()


async def _close(runner: web.AppRunner) -> None:
    """Close every connection, also one with bytes that nobody will take any more."""
    assert runner.server is not None
    await asyncio.sleep(0.05)  # a connection that is just being accepted is not among them yet
    transports = [handler.transport for handler in runner.server.connections if handler.transport is not None]
    await runner.cleanup()
    for transport in transports:
        transport.abort()
    for _ in range(3):  # the sockets are closed in the loop's next rounds
        await asyncio.sleep(0)
