"""Requests are signed as botocore signs them, to the last character."""

from datetime import datetime

import pytest
from botocore.auth import SIGNED_HEADERS_BLACKLIST, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from kcl_py.aws.signature import Signer

VISIBLE = st.characters(min_codepoint=33, max_codepoint=126)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
TOKENS = st.text(st.characters(min_codepoint=97, max_codepoint=122) | st.sampled_from("/+=ABC09"), min_size=1)
KEYS = st.builds(ReadOnlyCredentials, TOKENS, st.text(VISIBLE, min_size=1), st.none() | TOKENS, st.none())
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda moment: f"{moment:%Y%m%dT%H%M%SZ}")  # noqa: DTZ001
URLS = st.sampled_from(
    [
        "https://kinesis.eu-west-1.amazonaws.com",
        "https://kinesis.eu-west-1.amazonaws.com/",
        "https://kinesis.eu-west-1.amazonaws.com:443/",
        "https://123456789012.data-kinesis.us-gov-east-1.amazonaws.com/",
        "https://kinesis-fips.us-east-1.amazonaws.com/",
        "https://kinesis.example:8443/",
        "http://127.0.0.1:4567/",
        "http://localhost:80/",
        "https://[::1]:4567/",
        "https://KINESIS.example/some/path",
    ]
)
VALUES = st.text(VISIBLE | st.just(" "), max_size=20)
UNSIGNED = {"host", "date", *SIGNED_HEADERS_BLACKLIST}  # the latter by this SDK, and we send none of them
HEADERS = st.dictionaries(NAMES.filter(lambda name: name not in UNSIGNED), VALUES)


def signed_by_botocore(keys: ReadOnlyCredentials, url: str, headers: dict[str, str], body: bytes, moment: str) -> str:
    """What its signer makes of it; the time is given, so the rest of `add_auth` is left out."""
    auth = SigV4Auth(keys, "kinesis", "eu-west-1")
    request = AWSRequest("POST", url, headers=headers, data=body)
    request.context["timestamp"] = moment
    canonical = auth.canonical_request(request)
    auth._inject_signature_to_request(request, auth.signature(auth.string_to_sign(request, canonical), request))
    return str(request.headers["Authorization"])


@given(KEYS, URLS, HEADERS, st.binary(max_size=80), MOMENTS)
@settings(deadline=None, max_examples=300)
def test_a_signature_is_botocores(
    keys: ReadOnlyCredentials, url: str, headers: dict[str, str], body: bytes, moment: str
) -> None:
    signed = headers | {"x-amz-date": moment} | ({"x-amz-security-token": keys.token} if keys.token else {})

    ours = Signer(url, service="kinesis", region="eu-west-1").authorization(keys, signed, body, moment)

    assert ours == signed_by_botocore(keys, url, signed, body, moment)


@given(st.lists(st.tuples(KEYS, MOMENTS), min_size=2, max_size=6))
@settings(deadline=None)
def test_a_derived_key_is_kept_for_its_day_and_its_secret_only(uses: list[tuple[ReadOnlyCredentials, str]]) -> None:
    signer = Signer("https://kinesis.example/", service="kinesis", region="eu-west-1")
    first, _ = uses[0]
    for keys, moment in [*uses, *((first, moment) for _, moment in uses)]:
        headers = {"x-amz-date": moment}
        expected = signed_by_botocore(keys, "https://kinesis.example/", headers, b"{}", moment)
        assert signer.authorization(keys, headers, b"{}", moment) == expected


@pytest.mark.parametrize("token", [None, "a token"])
def test_what_botocore_adds_to_a_request_is_what_we_sign(token: str | None) -> None:
    keys = ReadOnlyCredentials("key", "secret", token, None)
    request = AWSRequest("POST", "https://kinesis.example/", headers={"X-Amz-Target": "K.GetRecords"}, data=b"{}")
    SigV4Auth(keys, "kinesis", "eu-west-1").add_auth(request)
    sent = {name.lower(): value for name, value in request.headers.items()}
    expected = sent.pop("authorization")

    signer = Signer("https://kinesis.example/", service="kinesis", region="eu-west-1")

    assert signer.authorization(keys, sent, b"{}", sent["x-amz-date"]) == expected


def test_nothing_that_signs_is_shown() -> None:
    signer = Signer("https://kinesis.example/", service="kinesis", region="eu-west-1")
    keys = ReadOnlyCredentials("key", "the secret", None, None)
    signer.authorization(keys, {"x-amz-date": "20260301T090000Z"}, b"{}", "20260301T090000Z")

    assert "the secret" not in f"{signer} {signer!r} {signer._key} {signer._key!r}"
