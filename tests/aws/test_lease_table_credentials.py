"""Whose credentials the DynamoDB door uses, and what it does with few permissions."""

import asyncio

import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.core.table import TableKind
from kcl_py.errors import (
    AccessDenied,
    CredentialsError,
)
from tests.aws.scripted_dynamodb import NOWHERE, Door, ScriptedDynamoDB

KEY = "shardId-000000000000"
ANN = "ann@0123abcd"
NEW = Lease(key=KEY, checkpoint=TRIM_HORIZON)


class TestCredentials:
    async def test_are_those_of_the_session_that_was_passed(
        self, door: Door, moto_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment")
        scripted = ScriptedDynamoDB(
            aws_access_key_id="AKIAPASSED", aws_session_token="token-of-a-role", region_name="ap-south-1"
        )
        await door("passed", session=scripted.session, endpoint_url=moto_url).prepare()
        assert scripted.requests
        for request in scripted.requests:
            assert "Credential=AKIAPASSED/" in str(request.headers["Authorization"])
            assert "/ap-south-1/dynamodb/" in str(request.headers["Authorization"])
            assert "token-of-a-role" in str(request.headers["X-Amz-Security-Token"])

    async def test_of_two_doors_in_one_process_do_not_mix(self, door: Door, moto_url: str) -> None:
        first, second = (
            ScriptedDynamoDB(aws_access_key_id="AKIAFIRST"),
            ScriptedDynamoDB(aws_access_key_id="AKIASECOND"),
        )
        tables = [door("mixed", session=each.session, endpoint_url=moto_url) for each in (first, second)]
        await asyncio.gather(*(table.prepare() for table in tables))
        await asyncio.gather(*(table.lease(KEY) for table in tables * 5))
        for scripted, key in ((first, "AKIAFIRST"), (second, "AKIASECOND")):
            assert len(scripted.requests) >= 6
            assert all(f"Credential={key}/" in str(request.headers["Authorization"]) for request in scripted.requests)

    async def test_come_from_the_environment_if_no_session_is_passed(
        self, door: Door, moto_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto_url)
        table = door("from-environment")
        await table.prepare()
        assert await table.create(NEW)

    async def test_that_come_late_are_used(self, door: Door, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        table = door("late", endpoint_url=moto_url, region="eu-west-1")
        with pytest.raises(CredentialsError, match="no usable AWS credentials"):
            await table.prepare()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIALATE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "late")
        await table.prepare()
        assert await table.create(NEW)

    async def test_never_show_in_an_error(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.refuse(
            "GetItem", "InvalidSignatureException", text="The Canonical String was: x-amz-security-token:abc"
        )
        with pytest.raises(CredentialsError) as caught:
            await door(session=scripted.session, endpoint_url=NOWHERE).lease(KEY)
        assert "abc" not in str(caught.value)
        assert caught.value.__cause__ is None


class TestALeastPrivilegeRole:
    """It may read and write the lease table, and knows nothing of the legacy tables beside it."""

    @pytest.fixture
    def denied(self, scripted: ScriptedDynamoDB) -> ScriptedDynamoDB:
        scripted.refuse("DescribeTable", "AccessDeniedException")
        return scripted

    def scan(self, scripted: ScriptedDynamoDB, **attributes: dict[str, str]) -> None:
        row = {
            "leaseKey": {"S": KEY},
            "leaseCounter": {"N": "1"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "checkpoint": {"S": "100"},
        }
        scripted.answer("Scan", {"Items": [row | attributes], "Count": 1})

    async def test_reads_the_table_without_them(self, door: Door, denied: ScriptedDynamoDB) -> None:
        self.scan(denied, entityType={"S": "LEASE"}, leaseOwner={"S": ANN})
        snapshot = await door(session=denied.session, endpoint_url=NOWHERE).snapshot()
        assert snapshot.legacy_tables == ()
        assert snapshot.kind == TableKind.NATIVE

    @pytest.mark.parametrize(
        ("attributes", "kind"),
        [
            ({"leaseOwner": {"S": "w1"}}, TableKind.KCL_2_X),
            ({"leaseOwner": {"S": "w1"}, "entityType": {"S": "LEASE"}}, TableKind.JAVA_3_5),
        ],
    )
    async def test_still_knows_a_java_fleet_by_its_rows(
        self, door: Door, denied: ScriptedDynamoDB, attributes: dict[str, dict[str, str]], kind: TableKind
    ) -> None:
        self.scan(denied, **attributes)
        snapshot = await door(session=denied.session, endpoint_url=NOWHERE).snapshot()
        assert snapshot.kind == kind

    async def test_cannot_vouch_for_the_silence_of_a_fleet(self, door: Door, denied: ScriptedDynamoDB) -> None:
        self.scan(denied)
        with pytest.raises(AccessDenied, match="dynamodb:DescribeTable on table leases-CoordinatorState"):
            await door(session=denied.session, endpoint_url=NOWHERE).foreign_pulse()
