"""Many entries are read in few requests, and what DynamoDB left out is asked for again, but not for ever."""

from typing import Any

import pytest

from kcl_py.aws.item_calls import ATTEMPTS_MAX, KEYS_MAX
from kcl_py.core.session import Session
from kcl_py.errors import KclError, ServiceUnavailable, TableMissing, Throttled
from tests.aws.scripted_dynamodb import NOWHERE, Door, ScriptedDynamoDB

KEYS = [f"worker-{number:04}@0123abcd" for number in range(3 * KEYS_MAX)]


class LazyTable:
    """Answers so many of the keys that it is asked for, and leaves the others out."""

    def __init__(self, scripted: ScriptedDynamoDB, answered_max: int) -> None:
        self.asked: list[list[str]] = []
        self._answered_max = answered_max
        scripted.answer_by("BatchGetItem", self.answer)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        (table,) = body["RequestItems"]
        wanted = body["RequestItems"][table]
        assert table == "leases"
        assert wanted.get("ConsistentRead", False) is False, "half the price; a verdict reads consistently"
        keys = [key["leaseKey"]["S"] for key in wanted["Keys"]]
        self.asked.append(keys)
        found, left = keys[: self._answered_max], keys[self._answered_max :]
        answer: dict[str, Any] = {"Responses": {"leases": [entry(key) for key in found]}}
        return answer | (
            {"UnprocessedKeys": {"leases": {**wanted, "Keys": wanted["Keys"][-len(left) :]}}} if left else {}
        )


def entry(key: str) -> dict[str, Any]:
    return {"leaseKey": {"S": key}, "entityType": {"S": "WORKER_METRIC_STATS"}, "kclPyBeat": {"N": "3"}}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcl_py.aws.item_calls._PAUSE", lambda attempt: 0.0)


async def test_a_request_names_no_more_keys_than_dynamodb_takes_and_none_twice(
    door: Door, scripted: ScriptedDynamoDB
) -> None:
    table = LazyTable(scripted, KEYS_MAX)
    sessions = await door(session=scripted.session, endpoint_url=NOWHERE).sessions([*reversed(KEYS), *KEYS[:7], "z"])
    assert sessions == tuple(Session(key=key, beat=3) for key in [*KEYS, "z"])
    assert sorted(map(len, table.asked)) == [1, KEYS_MAX, KEYS_MAX, KEYS_MAX]
    assert sorted(key for keys in table.asked for key in keys) == [*KEYS, "z"]


async def test_nothing_is_asked_about_nobody(door: Door, scripted: ScriptedDynamoDB) -> None:
    assert await door(session=scripted.session, endpoint_url=NOWHERE).sessions([]) == ()
    assert scripted.requests == []


async def test_what_was_left_out_is_asked_for_again_and_only_that(door: Door, scripted: ScriptedDynamoDB) -> None:
    table = LazyTable(scripted, 4)
    sessions = await door(session=scripted.session, endpoint_url=NOWHERE).sessions(KEYS[:10])
    assert [session.key for session in sessions] == KEYS[:10]
    assert table.asked == [KEYS[:10], KEYS[4:10], KEYS[8:10]]


async def test_what_is_left_out_again_and_again_is_throttling(door: Door, scripted: ScriptedDynamoDB) -> None:
    table = LazyTable(scripted, 0)
    with pytest.raises(Throttled, match="dynamodb:BatchGetItem on table leases left 10 items out"):
        await door(session=scripted.session, endpoint_url=NOWHERE).sessions(KEYS[:10])
    assert table.asked == [KEYS[:10]] * ATTEMPTS_MAX


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ProvisionedThroughputExceededException", Throttled),
        ("ResourceNotFoundException", TableMissing),
        ("InternalServerError", ServiceUnavailable),
    ],
)
async def test_a_refusal_of_one_request_is_the_refusal_of_all(
    door: Door, scripted: ScriptedDynamoDB, code: str, expected: type[KclError]
) -> None:
    scripted.refuse("BatchGetItem", code, 500 if expected is ServiceUnavailable else 400)
    with pytest.raises(expected, match="dynamodb:BatchGetItem on table leases"):
        await door(session=scripted.session, endpoint_url=NOWHERE).sessions(KEYS)


async def test_an_answer_without_items_is_no_proof_that_nobody_is_there(door: Door, scripted: ScriptedDynamoDB) -> None:
    """Else every worker would be dead."""
    scripted.answer("BatchGetItem", {})
    with pytest.raises(ServiceUnavailable, match="without items"):
        await door(session=scripted.session, endpoint_url=NOWHERE).sessions(KEYS[:1])


async def test_one_odd_entry_hides_no_others(door: Door, scripted: ScriptedDynamoDB) -> None:
    odd = entry(KEYS[1]) | {"kclPyBeat": {"S": "often"}}
    java = {name: value for name, value in entry("w1").items() if name != "kclPyBeat"}
    scripted.answer("BatchGetItem", {"Responses": {"leases": [entry(KEYS[2]), odd, java, entry(KEYS[0])]}})
    sessions = await door(session=scripted.session, endpoint_url=NOWHERE).sessions(KEYS[:4])
    assert [session.key for session in sessions] == [KEYS[0], KEYS[2]]
