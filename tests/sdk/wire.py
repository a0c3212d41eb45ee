"""What carries an SDK's signed requests to a service in this process, and the faults on the way."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, get_args

import msgspec
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from kcl_py.errors import AccessDenied, CredentialsError, ServiceError, ServiceUnavailable, Throttled

LATENCY_SECONDS = 0.005
SLOW_SECONDS = 3.0  # within every timeout
NEVER_SECONDS = 60.0  # beyond every deadline of one call
NOWHERE = "http://127.0.0.1:9"  # nobody listens there: a request that was not intercepted fails

Kind = Literal[
    "no connection",
    "answer lost",
    "read timeout",
    "request lost",
    "internal error",
    "unavailable",
    "throttled",
    "garbled",
    "cut off",
    "empty",
    "bad gateway",
    "slow",
    "dripping",
    "expired credentials",
    "access denied",
]

UNAPPLIED = frozenset[Kind](
    ("no connection", "request lost", "internal error", "unavailable", "throttled", "expired credentials",
     "access denied")
)  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
ERROR_OF_KIND: dict[Kind, type[ServiceError] | None] = {
    **dict.fromkeys(KINDS, ServiceUnavailable),
    "throttled": Throttled,
    "expired credentials": CredentialsError,
    "access denied": AccessDenied,
    "slow": None,
}
"""What a door makes of it."""


class Answer(NamedTuple):
    """An HTTP answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes


class Outcome(NamedTuple):
    """What the SDK's transport gives back, and when."""

    seconds: float
    result: Answer | Exception


class Fault(msgspec.Struct, kw_only=True):
    """A rule: what goes wrong, with which calls.

    Attributes:
        kind: after one of `UNAPPLIED` nothing was done; after every other the request was applied.
        operations: the service's names; empty for all.
        nth: the first matching call that is hit, counted from 1.
        times: how many are hit from there; None for no end.
    """

    kind: Kind
    operations: frozenset[str] = frozenset()
    nth: int = 1
    times: int | None = 1
    matches: int = 0  # counted by the wire
    hits: int = 0  # counted by the wire

    def strikes(self, operation: str) -> bool:
        """Count a call; True if it is hit."""
        if self.operations and operation not in self.operations:
            return False
        self.matches += 1
        is_hit = self.matches >= self.nth and (self.times is None or self.matches < self.nth + self.times)
        self.hits += is_hit
        return is_hit


class Wire:
    """Carries requests to one service.

    Args:
        serve: the service; answers a request at once.
        faults: rules, tried in order; the first that strikes decides.

    Attributes:
        faults: may be changed at any time.
        sent: the operation of every request so far.
        bodies: what each of them said.
        read_timeout_seconds: what the door told its SDK.
    """

    def __init__(self, serve: Callable[[AWSPreparedRequest], Answer], faults: Iterable[Fault] = ()) -> None:
        self.faults = list(faults)
        self.sent: list[str] = []
        self.bodies: list[bytes] = []
        self.read_timeout_seconds = 0.0
        self._serve = serve

    def carry(self, request: AWSPreparedRequest) -> Outcome:
        """Apply a request, unless it is lost, and say what becomes of its answer."""
        operation = operation_of(request)
        self.sent.append(operation)
        self.bodies.append(request.body)
        fault = next((fault for fault in self.faults if fault.strikes(operation)), None)
        if fault is None:
            return Outcome(LATENCY_SECONDS, self._serve(request))
        if fault.kind in UNAPPLIED:
            return self._unapplied(fault.kind, request)
        return self._spoilt(fault.kind, request, self._serve(request))

    def _unapplied(self, kind: Kind, request: AWSPreparedRequest) -> Outcome:
        """What comes instead of an answer to a request that did nothing."""
        if kind == "no connection":
            return Outcome(LATENCY_SECONDS, EndpointConnectionError(endpoint_url=request.url, error="refused"))
        if kind == "request lost":
            return Outcome(self.read_timeout_seconds, ReadTimeoutError(endpoint_url=request.url, error="no answer"))
        return Outcome(LATENCY_SECONDS, _refusal(*_REFUSALS[kind]))

    def _spoilt(self, kind: Kind, request: AWSPreparedRequest, answer: Answer) -> Outcome:
        """What is left of an answer that was given."""
        lost = ConnectionClosedError(endpoint_url=request.url, request=request, error="closed")
        silence = ReadTimeoutError(endpoint_url=request.url, error="silence")
        spoilt: dict[Kind, Outcome] = {
            "answer lost": Outcome(LATENCY_SECONDS, lost),
            "read timeout": Outcome(self.read_timeout_seconds, silence),
            "garbled": Outcome(LATENCY_SECONDS, answer._replace(body=_PAGE)),
            "bad gateway": Outcome(LATENCY_SECONDS, Answer(502, {"content-type": "text/html"}, _PAGE)),
            "cut off": Outcome(LATENCY_SECONDS, answer._replace(body=answer.body[: len(answer.body) // 2])),
            "empty": Outcome(LATENCY_SECONDS, answer._replace(body=b"")),
            "slow": Outcome(SLOW_SECONDS, answer),
            "dripping": Outcome(NEVER_SECONDS, answer),
        }
        return spoilt[kind]


_PAGE = b"<html>a proxy's own page</html>"


def operation_of(request: AWSPreparedRequest) -> str:
    """The operation that a request names."""
    target = request.headers["X-Amz-Target"]
    return str(target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]


def _refusal(status: int, code: str) -> Answer:
    body = msgspec.json.encode({"__type": code, "message": "on purpose"})
    return Answer(status, {"content-type": "application/x-amz-json-1.1"}, body)


_REFUSALS: dict[str, tuple[int, str]] = {
    "internal error": (500, "InternalServerError"),
    "unavailable": (503, "ServiceUnavailable"),
    "throttled": (400, "ProvisionedThroughputExceededException"),
    "expired credentials": (400, "ExpiredTokenException"),
    "access denied": (400, "AccessDeniedException"),
}
