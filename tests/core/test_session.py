"""A session's beat only grows, its revocation is never taken back, and its key tells worker and incarnation apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.session import PROTOCOL, Process, Session, is_native_owner

SESSION = Session(key="billing-1@0123abcd")


@pytest.mark.parametrize("owner", ["w@0123abcd", "host.example:7f@00000000", "a b@ffffffff", "ünï@0123abcd"])
def test_a_worker_id_with_eight_hex_digits_is_an_owner_of_ours(owner: str) -> None:
    assert is_native_owner(owner)


@pytest.mark.parametrize(
    "owner",
    [
        "",
        "w",
        "@0123abcd",
        "w@",
        "w@0123abc",
        "w@0123abcde",
        "w@0123ABCD",
        "w@0123abcg",
        "a@b@0123abcd",
        "w@0123abcd\n",
    ],
)
def test_any_other_owner_is_foreign(owner: str) -> None:
    assert not is_native_owner(owner)


@given(st.text(st.characters(exclude_characters="@\n\r"), min_size=1), st.integers(0, 2**32 - 1))
def test_the_worker_id_is_what_stands_before_the_suffix(worker_id: str, suffix: int) -> None:
    assert Session(key=f"{worker_id}@{suffix:08x}").worker_id == worker_id
    assert is_native_owner(f"{worker_id}@{suffix:08x}")


def test_a_beat_adds_one_and_changes_nothing_else_but_the_time() -> None:
    beaten = SESSION.beaten(1_700_000_000)
    assert (beaten.beat, beaten.updated_at_seconds) == (1, 1_700_000_000)
    assert Session(key=SESSION.key, beat=1, updated_at_seconds=1_700_000_000) == beaten


def test_a_revoked_session_stays_revoked_whatever_it_does() -> None:
    revoked = SESSION.revoked()
    assert revoked.beaten(1).is_revoked
    assert revoked.leaving().is_revoked
    assert revoked.beat == SESSION.beat


def test_leaving_is_kept_by_the_beats_that_follow() -> None:
    leaving = SESSION.leaving()
    assert leaving.is_leaving
    assert leaving.beaten(2).is_leaving
    assert leaving.beat == SESSION.beat


def test_a_session_names_its_protocol_and_process() -> None:
    process = Process(boot_id="b", pid_namespace="4026531836", pid=7, started_ticks=99)
    session = Session(key=SESSION.key, process=process)
    assert session.protocol == PROTOCOL
    assert session.beaten(1).process == process


def test_a_beat_says_how_busy_the_processor_was_of_late() -> None:
    beaten = SESSION.beaten(1, cpu_percents=(-1.0, 12.5))
    assert beaten.cpu_percents == (-1.0, 12.5)
    assert beaten.beaten(2).cpu_percents == ()  # what is not known any more is not said


def test_what_a_session_may_hold_at_most_stands_in_its_entry_from_the_start() -> None:
    session = Session(key=SESSION.key, leases_max=3)
    assert session.beaten(1).leases_max == session.leaving().leases_max == session.revoked().leases_max == 3
    assert SESSION.leases_max is None
