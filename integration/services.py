"""The endpoints that programs talk to: `kcl-py local` as a process, or somebody else's servers."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from integration.program import KCL_PY, Program, clean_environment, eventually

ACCESS_KEY = "PLANTEDACCESSKEYID"  # DynamoDBLocal takes letters and digits alone
SECRET_KEY = "planted-secret-access-key-0123456789"
_EXPORT = re.compile(r"export (\w+)=(.*)")
_EXPORTS = 6


class Services(NamedTuple):
    """Where Kinesis and DynamoDB are."""

    kinesis_url: str
    dynamodb_url: str
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """What a program must find in its environment."""
        return {
            "AWS_ENDPOINT_URL_KINESIS": self.kinesis_url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    @contextmanager
    def client(self, service: str) -> Iterator[Any]:
        """Plain boto3 that tries once, so that nothing happens twice unseen."""
        client = boto3.client(
            service,
            endpoint_url={"kinesis": self.kinesis_url, "dynamodb": self.dynamodb_url}[service],
            region_name=self.region,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            # proxies: else the environment is gone through, which pytest changes under the threads that make clients
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30, proxies={}),
        )
        try:
            yield client
        finally:
            client.close()


class LocalProgram(Program):
    """`kcl-py local`, on free ports."""

    def __init__(self, directory: Path) -> None:
        command = [KCL_PY, "local", "--kinesis-port", "0", "--dynamodb-port", "0"]
        super().__init__(command, environment=clean_environment(), directory=directory)

    @property
    def exports(self) -> dict[str, str]:
        """The environment that it says to paste into another shell."""

        def look() -> list[str]:
            assert self.is_running, f"kcl-py local ended; {self}"
            lines = list(self.output)
            return lines if len(lines) >= _EXPORTS else []

        matches = [_EXPORT.fullmatch(line) for line in eventually(look, "the export lines")]
        return {match[1]: match[2] for match in matches if match is not None}

    @property
    def services(self) -> Services:
        """What it serves."""
        exports = self.exports
        return Services(
            exports["AWS_ENDPOINT_URL_KINESIS"], exports["AWS_ENDPOINT_URL_DYNAMODB"], exports["AWS_REGION"]
        )

    def drained(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; its exit code."""
        self.signal(by)
        return self.ended()
