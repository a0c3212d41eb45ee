"""The doors through the SDKs themselves, on the oldest SDKs that are allowed and on the newest there are."""

import os
import re
import subprocess
import sys

import pytest

from integration.provision import PINS, ROOT
from tests.tools import find_tool

TIMEOUT_SECONDS = 240
PAST_THE_SDK = (
    *("tests/aws/test_direct_reads.py", "tests/aws/test_kinesis_reading.py"),
    *("tests/aws/test_http_post.py", "tests/aws/test_http_connection.py"),
)
SDKS = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "pynamodb")


@pytest.mark.parametrize("name", ["sdk-oldest", "sdk-newest"])
def test_the_doors_and_a_worker_keep_their_word_on_other_sdks(name: str, capsys: pytest.CaptureFixture[str]):
    folder = find_tool(name).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "tests/sdk", *PAST_THE_SDK),
            # what is about the keeper takes as long as all the rest; and a fault more or less says nothing new here
            *("-k", "not (read_back or a_life or unavailable or request or slow)"),
        ],
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    (versions,) = re.findall(r"^SDKs: (.*)$", done.stdout, re.MULTILINE)
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    with capsys.disabled():
        print(f"\n{name}: {passed} tests passed on {versions}")
    assert versions.split(", ") == [f"{sdk} {pinned(name, sdk)}" for sdk in SDKS]
    assert " skipped" not in done.stdout


def pinned(name: str, sdk: str) -> str:
    """The version that the pins name."""
    (version,) = re.findall(rf"^{sdk}==(\S+)", (PINS / f"{name}.txt").read_text(), re.MULTILINE)
    return str(version)
