"""Every code and fault of the SDK becomes the one error that says what to do."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from pynamodb.exceptions import PynamoDBException, TableDoesNotExist, UpdateError

from kcl_py.aws.translate import SDK_ERRORS, code_of, translated
from kcl_py.errors import (
    AccessDenied,
    ConditionFailed,
    ConfigError,
    CredentialsError,
    EncryptionKeyError,
    IteratorExpired,
    KclError,
    SequenceRefused,
    ServiceError,
    ServiceUnavailable,
    StreamError,
    StreamNotFound,
    TableError,
    TableMissing,
    Throttled,
)

ADDRESS = "https://kinesis.eu-west-1.amazonaws.com"


def refusal(code: str, text: str = "", status: int = 400, operation: str = "Any") -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": text},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "1",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        operation,
    )


@pytest.mark.parametrize("service", ["kinesis", "dynamodb"])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ProvisionedThroughputExceededException", Throttled),
        ("LimitExceededException", Throttled),
        ("RequestLimitExceeded", Throttled),
        ("ThrottlingException", Throttled),
        ("Throttling", Throttled),
        ("AccessDeniedException", AccessDenied),
        ("AccessDenied", AccessDenied),
        ("UnauthorizedOperation", AccessDenied),
        ("ExpiredTokenException", CredentialsError),
        ("ExpiredToken", CredentialsError),
        ("UnrecognizedClientException", CredentialsError),
        ("InvalidSignatureException", CredentialsError),
        ("MissingAuthenticationTokenException", CredentialsError),
        ("InternalFailure", ServiceUnavailable),
        ("InternalServerError", ServiceUnavailable),
        ("ServiceUnavailable", ServiceUnavailable),
        ("ServiceUnavailableException", ServiceUnavailable),
    ],
)
def test_a_code_that_every_service_has_means_the_same(service: str, code: str, expected: type[KclError]) -> None:
    assert type(translated(refusal(code), f"{service}:Any", "it")) is expected


@pytest.mark.parametrize(
    ("operation", "code", "text", "expected"),
    [
        ("kinesis:GetRecords", "ResourceNotFoundException", "", StreamNotFound),
        ("kinesis:GetRecords", "ExpiredIteratorException", "", IteratorExpired),
        ("kinesis:GetRecords", "InvalidArgumentException", "Invalid ShardIterator.", IteratorExpired),
        ("kinesis:GetRecords", "InvalidArgumentException", "Limit is too high", StreamError),
        ("kinesis:GetRecords", "KMSThrottlingException", "", EncryptionKeyError),
        ("kinesis:GetRecords", "KMSAccessDeniedException", "", EncryptionKeyError),
        ("kinesis:GetRecords", "KMSNotFoundException", "", EncryptionKeyError),
        ("kinesis:GetShardIterator", "KMSDisabledException", "", EncryptionKeyError),
        ("kinesis:GetShardIterator", "InvalidArgumentException", "StartingSequenceNumber 1 is bad", SequenceRefused),
        ("kinesis:GetShardIterator", "InvalidArgumentException", "Timestamp is in the future", StreamError),
        ("kinesis:ListShards", "ResourceInUseException", "", ServiceUnavailable),
        ("kinesis:CreateStream", "ResourceInUseException", "", StreamError),
        ("kinesis:ListShards", "ValidationException", "", StreamError),
        ("kinesis:GetRecords", "com.amazonaws.kinesis#ExpiredIteratorException:http://x/", "", IteratorExpired),
        ("kinesis:GetRecords", "", "", StreamError),
        ("dynamodb:Scan", "ResourceNotFoundException", "", TableMissing),
        ("dynamodb:UpdateContinuousBackups", "TableNotFoundException", "", TableMissing),
        ("dynamodb:UpdateItem", "ConditionalCheckFailedException", "", ConditionFailed),
        ("dynamodb:UpdateItem", "ValidationException", "", TableError),
        ("dynamodb:CreateTable", "ResourceInUseException", "", TableError),
    ],
)
def test_a_code_means_what_the_service_means_by_it(
    operation: str, code: str, text: str, expected: type[KclError]
) -> None:
    error = translated(refusal(code, text), operation, "orders")
    assert type(error) is expected
    assert f"{operation} on orders" in str(error)


def test_a_5xx_of_any_code_is_no_usable_answer() -> None:
    assert type(translated(refusal("502", status=502), "kinesis:GetRecords", "it")) is ServiceUnavailable


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (EndpointConnectionError(endpoint_url=ADDRESS), ServiceUnavailable),
        (ConnectTimeoutError(endpoint_url=ADDRESS), ServiceUnavailable),
        (ReadTimeoutError(endpoint_url=ADDRESS), ServiceUnavailable),
        (ConnectionClosedError(endpoint_url=ADDRESS), ServiceUnavailable),
        (SSLError(endpoint_url=ADDRESS, error="no"), ServiceUnavailable),
        (ResponseParserError("no JSON"), ServiceUnavailable),
        (TimeoutError(), ServiceUnavailable),
        (ConnectionResetError(), ServiceUnavailable),
        (NoCredentialsError(), CredentialsError),
        (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), CredentialsError),
        (CredentialRetrievalError(provider="process", error_msg="no"), CredentialsError),
        (TokenRetrievalError(provider="sso", error_msg="no"), CredentialsError),
        (NoRegionError(), ConfigError),
        (ProfileNotFound(profile="nobody"), ConfigError),
        (ParamValidationError(report="no"), ServiceError),
        (PynamoDBException("no"), ServiceError),
        (TableDoesNotExist("leases"), TableMissing),
    ],
)
def test_a_call_without_an_answer_says_why(fault: Exception, expected: type[KclError]) -> None:
    assert isinstance(fault, SDK_ERRORS)
    error = translated(fault, "dynamodb:UpdateItem", "table leases")
    assert type(error) is expected
    assert "dynamodb:UpdateItem on table leases" in str(error)


def test_pynamodbs_wrapper_is_what_it_wraps() -> None:
    wrapped = UpdateError("failed", refusal("ConditionalCheckFailedException"))
    assert type(translated(wrapped, "dynamodb:UpdateItem", "table leases")) is ConditionFailed
    unsent = UpdateError("failed", ReadTimeoutError(endpoint_url=ADDRESS))
    assert type(translated(unsent, "dynamodb:UpdateItem", "table leases")) is ServiceUnavailable


def test_the_code_behind_an_error_can_be_asked_for() -> None:
    wrapped = UpdateError("failed", refusal("ValidationException"))
    with pytest.raises(TableError) as caught:
        raise translated(wrapped, "dynamodb:Query", "table leases") from wrapped
    assert code_of(caught.value) == "ValidationException"
    assert code_of(TableError("of our own")) == ""


def test_a_missing_permission_is_named_with_the_services_own_words() -> None:
    error = translated(
        refusal("AccessDeniedException", "User: arn:aws:iam::1:user/ann is not authorized"),
        "kinesis:GetRecords",
        "orders",
    )
    assert "allow kinesis:GetRecords" in str(error)
    assert "arn:aws:iam::1:user/ann" in str(error)


def test_a_role_that_may_not_be_assumed_is_a_matter_of_credentials() -> None:
    error = translated(refusal("AccessDenied", operation="AssumeRole"), "dynamodb:UpdateItem", "table leases")
    assert type(error) is CredentialsError
    assert "AssumeRole" in str(error)
    busy = translated(refusal("Throttling", operation="AssumeRole"), "dynamodb:UpdateItem", "table leases")
    assert type(busy) is Throttled


@pytest.mark.parametrize(
    ("operation", "code", "text"),
    [
        ("kinesis:PutRecord", "ValidationException", "cannot take secret"),
        ("kinesis:PutRecords", "InvalidArgumentException", "secret"),
        ("kinesis:GetRecords", "ValidationException", "1 error: Value 'it's secret' at 'partitionKey' is too long"),
        ("kinesis:GetRecords", "InvalidSignatureException", "The string to sign was x-amz-security-token:secret"),
    ],
)
def test_no_payload_and_no_credential_is_repeated(operation: str, code: str, text: str) -> None:
    assert "secret" not in str(translated(refusal(code, text), operation, "orders"))


def test_the_services_words_fit_on_one_line() -> None:
    error = translated(refusal("ValidationException", "first\n\x1b[31msecond" + "x" * 5000), "dynamodb:Scan", "it")
    assert str(error).isprintable()
    assert len(str(error)) < 500
