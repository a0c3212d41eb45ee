"""What the service says of enhanced fan-out consumers, and a door to ask it."""

from typing import Any

from kcl_py.aws.fan_out import KinesisFanOut, connection_for_pages
from kcl_py.core.position import ReadFrom
from tests.aws.kinesis_answers import ARN
from tests.aws.scripted_kinesis import ScriptedKinesis, refuses, says

START = ReadFrom("TRIM_HORIZON")
CONSUMER_ARN = f"{ARN}/consumer/billing:1772355600"
MISSING = refuses("ResourceNotFoundException", "not found")


def consumer(status: str = "ACTIVE", name: str = "billing", **changes: object) -> dict[str, object]:
    return {
        "ConsumerName": name,
        "ConsumerARN": CONSUMER_ARN,
        "ConsumerStatus": status,
        "ConsumerCreationTimestamp": 1772355600.9,
    } | changes


def described(status: str = "ACTIVE") -> Any:
    return says({"ConsumerDescription": consumer(status) | {"StreamARN": ARN}})


def registered(status: str = "CREATING") -> Any:
    return says({"Consumer": consumer(status)})


def opened(service: ScriptedKinesis, stream: str = "orders", **options: Any) -> KinesisFanOut:
    settings: dict[str, Any] = {"endpoint_url": service.endpoint_url, "region": "eu-west-1", "patience_seconds": 0.0}
    return KinesisFanOut(connection_for_pages(stream, **(settings | options)))
