"""The page that `make prove` prints, and the one that explains it."""

from collections import Counter
from pathlib import Path

from tests.prove.lives import Lived, Takeover, Wanted, live
from tests.prove.page import Part, page
from tests.prove.table import rows
from tests.simulation.hours import Hours
from tests.simulation.verdict import LAWS

PROOF = (Path(__file__).parents[2] / "docs" / "proof.md").read_text()
CALM = Lived(
    lives=2,
    hours=Hours(fleet=2.0, counted=1.5, worker=9.0, incidents=Counter(crash=3), records=40),
    judged=Counter(no_skip=7),
    repeats=(3, 10),
    takeover=Takeover(9.5, 13.0),
    hand_over_seconds=(0.1, 0.3),
)


def test_a_life_brings_its_hours_its_faults_and_what_each_law_judged():
    lived = live(Wanted("small", 0))
    assert lived.lives == 1
    assert not lived.verdicts
    assert lived.hours.fleet > 0.02
    assert lived.hours.incidents.total() > 0
    assert set(lived.judged) == {law.__name__ for law in LAWS}
    assert lived.judged["no_skip"] > 0


def test_the_page_tells_what_was_seen():
    text = page({"hour": CALM + CALM}, [Part("the suite", "2 passed", is_right=True)], 90)
    for figure in ("3.0", "crash 6", "no_skip 14", "3, where 10 were allowed", "9.5 s, where 13 s", "2 passed"):
        assert figure in text
    assert text.endswith("Nothing broke a law.")


def test_a_broken_law_or_a_part_that_failed_is_red():
    broken = Lived(lives=1, verdicts=("seed 7 breaks no_skip",))
    assert "seed 7 breaks no_skip" in page({"hour": CALM + broken}, [], 1)
    assert page({"hour": broken}, [], 1).endswith("RED: 1 of the above went wrong")
    assert "RED the suite: 1 failed" in page({"hour": CALM}, [Part("the suite", "1 failed", is_right=False)], 1)


def test_the_page_on_the_proof_lists_every_sabotage_and_who_notices_it():
    assert "\n".join(rows()) in PROOF, "make the table again: python -m tests.prove.table"


def test_the_page_on_the_proof_names_every_law():
    assert [law.__name__ for law in LAWS if f"`{law.__name__}`" not in PROOF] == []
