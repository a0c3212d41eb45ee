"""A post over an SDK's HTTP session ends as the session's own would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from botocore.awsrequest import AWSPreparedRequest

from kcl_py.aws.http_post import HttpPost

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
READ_TIMEOUT_SECONDS = 0.2
HEADERS = {"X-Amz-Target": "Kinesis_20131202.GetRecords", "Content-Type": "application/x-amz-json-1.1"}


def says(text: bytes) -> Behaviour:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


def in_pieces(text: bytes) -> Behaviour:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for place in range(len(text)):
            writer.write(text[place : place + 1])
            await writer.drain()
            await asyncio.sleep(0)

    return answer


async def is_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def stops_after(text: bytes) -> Behaviour:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await reader.read()

    return answer


async def resets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@asynccontextmanager
async def served(behaviour: Behaviour) -> AsyncIterator[int]:
    """A port where every request gets the same."""

    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behaviour(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        tasks = [task for task in serving if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ending(send: Callable[[], Awaitable[Any]]) -> str | type[BaseException]:
    """What came, or the class of what was raised."""
    try:
        answer = await send()
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
        return type(error)
    return str(answer)


async def both(session: AIOHTTPSession, url: str) -> list[str | type[BaseException]]:
    async def by_session() -> Any:
        answer = await session.send(AWSPreparedRequest("POST", url, HEADERS, b"{}", False))
        return answer.status_code, dict(answer.headers), await answer.content

    post = HttpPost(session, url)
    assert post.is_plain
    return [await ending(by_session), await ending(lambda: shown(post))]


async def shown(post: HttpPost) -> Any:
    status, headers, body = await post.send(HEADERS, b"{}")
    return status, dict(headers), bytes(body)


ANSWERS = {
    "in pieces": in_pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX: y\r\n\r\n0123456789"),
    "without a reason": says(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}"),
    "with odd spaces": says(b"HTTP/1.1 200 OK\r\ncontent-LENGTH:2\r\nX:\t a b\r\nEmpty:\r\n\r\n{}"),
    "empty": says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "in chunks": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "until the end of the connection": says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"),
    "of an old server": says(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "without a body": says(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    "a good answer": says(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nx-amzn-RequestId: r\r\nContent-Length: 2\r\n\r\n{}"
    ),
    "a refusal": says(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"),
    "packed, though we take it plain only": says(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    ),
}
FAULTS = {
    "a body that is cut off": says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n{}"),
    "nothing": says(b""),
    "half a header": says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Le"),
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "silence amid an answer": stops_after(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"),
    "more than was announced": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more"),
    "a length twice": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "a length below nothing": says(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}"),
    "a header without an end": says(b"HTTP/1.1 200 OK\r\nX: " + 100_000 * b"x"),
    "a length that is none": says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: many\r\n\r\n{}"),
    "chunks that are none": says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "a way round in circles": says(
        b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    ),
    "a way to nowhere": says(
        b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: gopher://x\r\nContent-Length: 0\r\n\r\n"
    ),
    "silence": is_silent,
    "a reset": resets,
}


@pytest.mark.parametrize("behaviour", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_the_same(behaviour: Behaviour) -> None:
    async with served(behaviour) as port, AIOHTTPSession(timeout=(1, READ_TIMEOUT_SECONDS)) as session:
        by_session, by_us = await both(session, f"http://127.0.0.1:{port}/")

    assert isinstance(by_us, str)
    assert by_us == by_session


@pytest.mark.parametrize("behaviour", FAULTS.values(), ids=FAULTS)
async def test_a_fault_is_the_same(behaviour: Behaviour) -> None:
    async with served(behaviour) as port, AIOHTTPSession(timeout=(1, READ_TIMEOUT_SECONDS)) as session:
        by_session, by_us = await both(session, f"http://127.0.0.1:{port}/")

    assert not isinstance(by_us, str)
    assert by_us == by_session


async def test_no_tls_where_it_should_be_is_the_same() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        AIOHTTPSession(timeout=(1, READ_TIMEOUT_SECONDS)) as session,
    ):
        by_session, by_us = await both(session, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")

    assert not isinstance(by_us, str)
    assert by_us == by_session


async def test_nobody_there_is_the_same() -> None:
    async with served(is_silent) as port:
        pass
    async with AIOHTTPSession(timeout=(1, READ_TIMEOUT_SECONDS)) as session:
        by_session, by_us = await both(session, f"http://127.0.0.1:{port}/")

    assert not isinstance(by_us, str)
    assert by_us == by_session


async def test_a_session_that_was_closed_is_the_same() -> None:
    async with served(ANSWERS["a good answer"]) as port, AIOHTTPSession() as session:
        url = f"http://127.0.0.1:{port}/"
        post = HttpPost(session, url)
        await post.send(HEADERS, b"{}")
        await session.close()
        by_session, _ = await both(session, url)

        assert await ending(lambda: shown(post)) == by_session


async def test_a_proxy_is_left_to_the_session() -> None:
    session = AIOHTTPSession(proxies={"https": "http://proxy.example:3128"})

    assert not HttpPost(session, "https://kinesis.example/").is_plain
    assert HttpPost(session, "http://127.0.0.1:4567/").is_plain
