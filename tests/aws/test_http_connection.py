"""Connections of direct reads are kept, given up and limited as those of the SDK's session."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError, HTTPClientError, SSLError
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.load_source import certificate_for
from kcl_py.aws.http_connection import Answer, Disconnected, HttpConnection, Unfamiliar
from kcl_py.aws.http_post import HttpPost

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
PATIENCE_SECONDS = 20.0


class Server:
    """Answers every request alike, and keeps its connections.

    Attributes:
        answer: what is said.
        pause_seconds: before that.
        is_held: whether nothing is said, however long that takes.
        opened: how many connections there were.
        open: how many there are.
        busy_max: how many requests were under way at once.
        requests: heads and bodies.
        writers: one for each connection.
    """

    def __init__(self) -> None:
        self.answer = GOOD
        self.pause_seconds = 0.0
        self.is_held = False
        self.opened = self.open = self.busy = self.busy_max = 0
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"http{'s' if context else ''}://127.0.0.1:{self.port}/"
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()
            await eventually(lambda: not self.open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        self.writers.append(writer)
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2))
                self.busy += 1
                self.busy_max = max(self.busy_max, self.busy)
                await asyncio.sleep(self.pause_seconds)
                if self.is_held:
                    await reader.read()
                self.busy -= 1
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def eventually(is_so: object) -> None:
    assert callable(is_so)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)


async def sent(post: HttpPost, times: int = 1) -> None:
    for _ in range(times):
        assert (await post.send({"X-Amz-Target": "t"}, b"{}")).body == b"{}"


async def test_one_connection_is_used_again_and_again() -> None:
    server = Server()
    async with server.serving() as url, AIOHTTPSession() as session:
        await sent(HttpPost(session, url), 5)

        assert (server.opened, len(server.requests)) == (1, 5)


async def test_one_that_waited_for_too_long_is_not() -> None:
    server = Server()
    async with server.serving() as url, AIOHTTPSession(connector_args={"keepalive_timeout": 0.0}) as session:
        await sent(HttpPost(session, url), 3)

        assert server.opened == 3
        await eventually(lambda: server.open == 1)


async def test_one_that_the_server_has_ended_is_not() -> None:
    server = Server()
    async with server.serving() as url, AIOHTTPSession() as session:
        post = HttpPost(session, url)
        await sent(post)
        server.writers[0].close()
        await eventually(lambda: not post._idle[0].is_open)
        await sent(post)

        assert server.opened == 2


async def test_one_that_says_what_nobody_asked_for_is_not() -> None:
    server = Server()
    async with server.serving() as url, AIOHTTPSession() as session:
        post = HttpPost(session, url)
        await sent(post)
        server.writers[0].write(GOOD)
        await eventually(lambda: not post._idle[0].is_open)
        await sent(post)

        assert server.opened == 2


async def test_a_request_that_is_given_up_takes_its_connection_along() -> None:
    server = Server()
    server.is_held = True
    async with server.serving() as url, AIOHTTPSession() as session:
        post = HttpPost(session, url)
        sending = asyncio.create_task(sent(post))
        await eventually(lambda: server.busy)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        server.is_held = False
        await sent(post)

        assert server.opened == 2


async def test_there_are_no_more_at_once_than_the_client_may_have() -> None:
    server = Server()
    server.pause_seconds = 0.02
    async with server.serving() as url, AIOHTTPSession(max_pool_connections=3) as session:
        post = HttpPost(session, url)
        await asyncio.gather(*(sent(post) for _ in range(12)))

        assert (server.opened, server.busy_max, len(server.requests)) == (3, 3, 12)


async def test_they_end_with_the_session() -> None:
    server = Server()
    async with server.serving() as url:
        async with AIOHTTPSession() as session:
            await sent(HttpPost(session, url))
            assert server.open == 1

        await eventually(lambda: not server.open)


async def test_one_that_is_under_way_when_the_session_ends_is_not_kept() -> None:
    server = Server()
    server.pause_seconds = 0.1
    async with server.serving() as url:
        async with AIOHTTPSession() as session:
            sending = asyncio.create_task(sent(HttpPost(session, url)))
            await eventually(lambda: server.busy)
        await sending

        await eventually(lambda: not server.open)


async def test_a_service_that_speaks_otherwise_is_left_to_the_session() -> None:
    server = Server()
    server.answer = CHUNKED
    async with server.serving() as url, AIOHTTPSession() as session:
        post = HttpPost(session, url)
        await sent(post, 5)

        assert not post.is_plain
        assert len(server.requests) == 5 + 3, "three were asked in both ways"


async def test_a_header_that_would_be_two_is_refused_as_the_session_refuses_it() -> None:
    server = Server()
    headers = {"X-Amz-Security-Token": "one\r\nX-Other: two"}
    async with server.serving() as url, AIOHTTPSession() as session:
        with pytest.raises(HTTPClientError):
            await session.send(AWSPreparedRequest("POST", url, headers, b"{}", False))
        with pytest.raises(HTTPClientError):
            await HttpPost(session, url).send(headers, b"{}")

        assert server.requests == []


async def test_a_connection_that_ends_amid_an_exchange_fails_it_once() -> None:
    server = Server()
    server.pause_seconds = 0.05
    async with server.serving() as url, AIOHTTPSession() as session:
        post = HttpPost(session, url)
        sending = asyncio.create_task(sent(post))
        await eventually(lambda: server.busy)
        server.writers[0].close()
        with pytest.raises(ConnectionClosedError):
            await sending
        await sent(post)

        assert server.opened == 2


LONGER = b"HTTP/1.1 400 Bad Request\r\nx-amzn-RequestId: r\r\nContent-Length: 12\r\n\r\n" + 12 * b"x"


class Written(asyncio.Transport):
    """Takes a request to nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


@example(changes=[(LONGER.index(b"12\r\n"), ord(" "))], ends=[LONGER.index(b"\r\n\r\n") + 6])  # less is announced
@given(
    changes=st.lists(st.tuples(st.integers(0, len(LONGER) - 1), st.sampled_from(b"\r\n :0129aA\xff\x00")), max_size=4),
    ends=st.lists(st.integers(0, len(LONGER)), max_size=6),
)
async def test_whatever_comes_in_whatever_pieces_it_is_an_answer_or_none(
    changes: list[tuple[int, int]], ends: list[int]
) -> None:
    said = bytearray(LONGER)
    for place, byte in changes:
        said[place] = byte
    connection, transport = HttpConnection(), Written()
    connection.connection_made(transport)
    exchange = asyncio.ensure_future(connection.exchange(b"", None))
    await asyncio.sleep(0)
    for start, end in pairwise([0, *sorted(ends), len(said)]):
        piece = said[start:end]
        while piece:
            space = connection.get_buffer(-1)
            taken = min(len(space), len(piece))
            space[:taken] = piece[:taken]
            connection.buffer_updated(taken)
            piece = piece[taken:]
    connection.connection_lost(None)
    (outcome,) = await asyncio.gather(exchange, return_exceptions=True)

    if isinstance(outcome, Answer):
        head, _, body = bytes(said).partition(b"\r\n\r\n")
        size = int(outcome.headers["content-length"])
        assert (outcome.status, outcome.body) == (int(said[9:12]), body[:size])
        assert len(outcome.body) == size
        assert transport.is_aborted or len(body) == size, "what follows an answer is nobody's"
        assert len(head.split(b"\r\n")) == 1 + len(outcome.headers)
    else:
        assert isinstance(outcome, Unfamiliar | Disconnected)
    assert changes or isinstance(outcome, Answer)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server shows, and the authority that vouches for it."""
    certificate, key = certificate_for(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


async def test_a_server_is_trusted_if_the_client_trusts_it(tls: tuple[ssl.SSLContext, Path]) -> None:
    server = Server()
    context, certificate = tls
    async with server.serving(context) as url, AIOHTTPSession(verify=str(certificate)) as session:
        post = HttpPost(session, url)
        await sent(post, 3)

        assert post.is_plain
        assert server.opened == 1


async def test_and_else_it_is_told_nothing(tls: tuple[ssl.SSLContext, Path]) -> None:
    server = Server()
    async with server.serving(tls[0]) as url, AIOHTTPSession() as session:
        tasks = asyncio.all_tasks()
        with pytest.raises(SSLError):
            await HttpPost(session, url).send({}, b"{}")

        assert server.requests == []
        await eventually(lambda: asyncio.all_tasks() == tasks)  # asyncio still looks at the server's end of it
