"""Records that were put, and where the service says that they went: what deliveries are judged by."""

import itertools
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tests.core.kpl_aggregator import UserRecord, packed

_RECORDS_MAX = 500
_REFUSED_PAUSE_SECONDS = 0.1


class Put(NamedTuple):
    """One record that the service took."""

    shard: str
    sequence_number: int
    sub_sequence_number: int
    key: str
    payload: str

    @property
    def position(self) -> tuple[int, int]:
        return self.sequence_number, self.sub_sequence_number


class Producer:
    """Puts numbered records. The records of one key are put one after the other, never two in one request."""

    def __init__(self, client: Any, stream: str) -> None:
        self._client = client
        self._stream = stream
        self._numbers = itertools.count()
        self.puts: list[Put] = []

    def put_rounds(self, keys: Sequence[str], rounds: int) -> list[Put]:
        """One record of every key, so many times; what is refused is put before the next round."""
        before = len(self.puts)
        for _ in range(rounds):
            for first in range(0, len(keys), _RECORDS_MAX):
                self._put(keys[first : first + _RECORDS_MAX])
        return self.puts[before:]

    def put_one(self, key: str, payload: str | None = None) -> Put:
        """One record by PutRecord."""
        payload = payload if payload is not None else self._payload(key)
        answer = self._client.put_record(StreamName=self._stream, Data=payload.encode(), PartitionKey=key)
        self.puts.append(_put(answer, key, payload))
        return self.puts[-1]

    def put_aggregate(self, keys: Sequence[str], key: str) -> None:
        """Records of several keys packed into one by the KPL's rules; `key` alone decides about the shard."""
        users = [UserRecord(one, self._payload(one).encode()) for one in keys]
        answer = self._client.put_record(StreamName=self._stream, Data=packed(users), PartitionKey=key)
        self.puts += [_put(answer, user.partition_key, user.data.decode(), number) for number, user in enumerate(users)]

    def _put(self, keys: Iterable[str]) -> None:
        waiting = [(key, self._payload(key)) for key in keys]
        while waiting:
            records = [{"Data": payload.encode(), "PartitionKey": key} for key, payload in waiting]
            answers = self._client.put_records(StreamName=self._stream, Records=records)["Records"]
            pairs = list(zip(waiting, answers, strict=True))
            self.puts += [_put(answer, *record) for record, answer in pairs if not answer.get("ErrorCode")]
            waiting = [record for record, answer in pairs if answer.get("ErrorCode")]
            if waiting:
                time.sleep(_REFUSED_PAUSE_SECONDS)

    def _payload(self, key: str) -> str:
        return f"{key} {next(self._numbers)}"


def _put(answer: dict[str, Any], key: str, payload: str, sub_sequence_number: int = 0) -> Put:
    return Put(answer["ShardId"], int(answer["SequenceNumber"]), sub_sequence_number, key, payload)
