"""The table of deviations and the tests belong together."""

from pathlib import Path

from tests.contracts.kinesis_deviations import DEVIATIONS


def test_every_known_deviation_is_asserted_by_a_test() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_kinesis_*.py"))
    for _, law in DEVIATIONS:
        name = law
        for family in ("iterator arguments: ", "the filter "):
            if law.startswith(family):
                name = f'"{law.removeprefix(family)}"'
        assert name in source, f"{law!r} stands in no test"
