"""The IAM policies that ship, as files and filled in."""

import json
import re

import botocore.session
import pytest

from kcl_py.cli.policy import POLICIES
from tests.cli.conftest import Shell
from tests.policies import allowed, statements

ARN = "arn:aws-cn:kinesis:cn-north-1:111122223333:stream/orders"


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_names_actions_that_exist_and_resources_of_its_own(name: str) -> None:
    session = botocore.session.get_session()
    for statement in statements(name):
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert re.fullmatch("[A-Za-z0-9]+", statement["Sid"])
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            service, operation = action.split(":")
            assert operation in session.get_service_model(service).operation_names
        for resource in statement["Resource"]:
            assert {action.split(":")[0] for action in statement["Action"]} == {resource.split(":")[2]}
            assert re.fullmatch(
                r"arn:aws:\w+:REGION:ACCOUNT:(stream/STREAM(/consumer/\*)?|table/TABLE(/index/\w+)?|key/\*)", resource
            )
            # a consumer's ARN ends with when it was registered, which nobody knows before
            assert not resource.endswith("*") or "Condition" in statement or "STREAM/consumer/" in resource


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(
    ("words", "stream", "table"),
    [
        (
            ("--stream", "orders", "--region", "eu-west-1", "--account", "123456789012"),
            "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
            "arn:aws:dynamodb:eu-west-1:123456789012:table/printing",
        ),
        (("--stream", ARN), ARN, "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/printing"),
        (
            ("--stream", ARN, "--account", "123456789012", "--table-name", "leases"),
            ARN,
            "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/leases",
        ),
        (
            ("--stream", "orders", "--region", "us-gov-west-1", "--account", "123456789012"),
            "arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/orders",
            "arn:aws-us-gov:dynamodb:us-gov-west-1:123456789012:table/printing",
        ),
    ],
)
def test_it_is_filled_in_without_a_placeholder_left(
    shell: Shell, name: str, words: tuple[str, ...], stream: str, table: str
) -> None:
    result = shell.run("policy", name, "--application", "printing", *words)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)["Statement"]
    resources = {statement["Resource"] for statement in printed}
    key = ":".join(stream.replace(":kinesis:", ":kms:").split(":")[:5]) + ":key/*"
    if name == "run":
        assert resources == {stream, key, table, f"{table}/index/LeaseOwnerToLeaseKeyIndex"}
        (condition,) = (statement["Condition"] for statement in printed if "Condition" in statement)
        assert condition == {"StringEquals": {"kms:EncryptionContext:aws:kinesis:arn": stream}}
    elif name == "provision":
        assert resources == {table}
    else:
        assert resources == {stream, f"{stream}/consumer/*"}
    assert not re.search("REGION|ACCOUNT|STREAM|TABLE", result.stdout)
    assert [statement["Action"] for statement in printed] != []


def test_to_make_a_table_takes_no_stream(shell: Shell) -> None:
    words = ("--application", "printing", "--region", "eu-west-1", "--account", "123456789012")
    result = shell.run("policy", "provision", *words)
    assert result.exit_code == 0, result.output
    assert "table/printing" in result.stdout


def test_to_fan_out_takes_no_table(shell: Shell) -> None:
    result = shell.run("policy", "fan-out", "--stream", ARN)
    assert result.exit_code == 0, result.output
    assert f"{ARN}/consumer/*" in result.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run",), "--application"),
        (("run", "--application", "printing"), "--stream"),
        (("run", "--application", "printing", "--stream", "orders"), "--region"),
        (("run", "--application", "printing", "--stream", "orders", "--region", "eu-west-1"), "--account"),
        (("run", "--application", "printing", "--stream", 'a"b'), "--stream"),
        (("run", "--application", "printing", "--stream", ARN, "--region", "eu-west-1"), "cn-north-1"),
        (("run", "--application", "a b", "--stream", ARN), "application"),
        (("run", "--application", "printing", "--stream", ARN, "--account", "12"), "--account"),
        (("provision", "--application", "printing", "--region", "Europe", "--account", "123456789012"), "--region"),
        (("fan-out", "--region", "eu-west-1", "--account", "123456789012"), "--stream"),
        (("fan-out", "--stream", "orders", "--account", "123456789012"), "--region"),
        (("walk", "--application", "printing"), "run|provision|fan-out"),
    ],
)
def test_what_is_missing_or_wrong_is_named(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    result = shell.run("policy", *words)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_they_have_in_common_only_to_look_at_the_table() -> None:
    assert allowed("run") & allowed("provision") == {"dynamodb:DescribeTable"}
    assert allowed("fan-out") & (allowed("run") | allowed("provision")) == set(), "fan-out is asked for by who uses it"
