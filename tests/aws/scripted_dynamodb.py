"""A boto3 session whose DynamoDB calls can be watched, answered and cut off before or after they reach an endpoint."""

import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from kcl_py.aws.lease_table import DynamoDBLeaseTable

NOWHERE = "http://127.0.0.1:9"  # for sessions that answer before anything is sent

Door = Callable[..., DynamoDBLeaseTable]
Reply = Callable[[AWSPreparedRequest], AWSResponse | None]


class ScriptedDynamoDB:
    """Hooks on one boto3 session; a door that is given the session goes through them.

    Attributes:
        session: what to give to the door.
        requests: every request so far, as sent.
    """

    def __init__(self, **session_options: str) -> None:
        options = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "eu-west-1"}
        self.session = boto3.Session(**(options | session_options))
        self.requests: list[AWSPreparedRequest] = []
        self._replies: dict[str, list[Reply]] = {}
        self._dropped: dict[str, Exception] = {}
        self.session.events.register("before-send.dynamodb.*", self._sent)
        self.session.events.register("before-parse.dynamodb.*", self._answered)

    @property
    def operations(self) -> list[str]:
        """The names of the operations sent so far, in order."""
        return [_operation(request) for request in self.requests]

    def answer(self, operation: str, body: dict[str, Any] | bytes, status: int = 200) -> None:
        """Answer the next call of `operation` in place of the endpoint; the last answer is given for ever."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._replies.setdefault(operation, []).append(lambda request: _response(request, status, content))

    def answer_by(self, operation: str, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answer the next call of `operation` with what `answer` makes of the request; the last is asked for ever."""

        def reply(request: AWSPreparedRequest) -> AWSResponse:
            return _response(request, 200, json.dumps(answer(json.loads(request.body))).encode())

        self._replies.setdefault(operation, []).append(reply)

    def refuse(self, operation: str, code: str, status: int = 400, text: str = "scripted") -> None:
        """Answer the next call of `operation` with an error of the service."""
        self.answer(operation, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": text}, status)

    def fail(self, operation: str, error: Exception) -> None:
        """Raise in place of sending the next call of `operation`."""

        def reply(_: AWSPreparedRequest) -> None:
            raise error

        self._replies.setdefault(operation, []).append(reply)

    def let_through(self, operation: str) -> None:
        """Send the next call of `operation` to the endpoint."""
        self._replies.setdefault(operation, []).append(lambda _: None)

    def drop_answer(self, operation: str, error: Exception) -> None:
        """Lose the answer of the next call of `operation`, after the endpoint gave it."""
        self._dropped[operation] = error

    def _sent(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        self.requests.append(request)
        replies = self._replies.get(_operation(request), [])
        if not replies:
            return None
        return (replies.pop(0) if len(replies) > 1 else replies[0])(request)

    def _answered(self, operation_model: Any, **_: object) -> None:
        error = self._dropped.pop(operation_model.name, None)
        if error is not None:
            raise error


class _Content:
    """What botocore reads an answer's body from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> list[bytes]:
        return [self._content]


def _operation(request: AWSPreparedRequest) -> str:
    target = request.headers["X-Amz-Target"]
    return str(target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]


def _response(request: AWSPreparedRequest, status: int, content: bytes) -> AWSResponse:
    return AWSResponse(request.url, status, {"content-type": "application/x-amz-json-1.0"}, _Content(content))
