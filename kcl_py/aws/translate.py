"""The one place that turns what the SDK raises into the errors of `errors`.

Codes are those of the services' API references (Kinesis Data Streams, DynamoDB, "Common Errors" of each). A message
carries the operation, the resource and the code, and the service's own words only where those cannot hold a record's
data, a partition key or anything that was used to sign the request.
"""

import re

from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConfigParseError,
    ConnectionError,  # noqa: A004 - botocore's own, under the name it has there
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from pynamodb.exceptions import PynamoDBException, TableDoesNotExist

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
    SubscriptionTaken,
    TableError,
    TableMissing,
    Throttled,
)

SDK_ERRORS: tuple[type[Exception], ...] = (
    BotoCoreError,
    ClientError,
    PynamoDBException,
    ResponseParserError,
    OSError,  # connection resets and timeouts that nothing wrapped
)
"""What a call through boto3, aioboto3 or pynamodb may raise, and `translated` takes; all else is a bug in ours."""

_ERROR_OF_CODE: dict[str, type[ServiceError]] = {
    **dict.fromkeys(
        (
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        Throttled,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "AuthorizationError", "OptInRequired", "UnauthorizedOperation"),
        AccessDenied,
    ),
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        CredentialsError,
    ),
    **dict.fromkeys(
        (
            "ExpiredNextTokenException",
            "InternalError",
            "InternalFailure",
            "InternalFailureException",
            "InternalServerError",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
        ),
        ServiceUnavailable,
    ),
    "ConditionalCheckFailedException": ConditionFailed,
    "ExpiredIteratorException": IteratorExpired,
}
_SENTENCE_OF_ERROR: dict[type[ServiceError], str] = {
    AccessDenied: "{call} was denied ({code}): allow {operation} to this identity{words}",
    ConditionFailed: "{call}: the row is not as it was seen; nothing was written",
    # the service's words are left out: a bad signature is answered with all that was signed
    CredentialsError: "{call} was refused with {code}: the AWS credentials are expired, unknown or do not sign "
    "correctly; renew them, and check that the host's clock is right",
    EncryptionKeyError: "{call} was refused with {code}: the KMS key that encrypts it is missing, disabled, denied or "
    "throttled; check the key's state and policy, and kms:Decrypt",
    IteratorExpired: "{call}: the shard iterator expired or is not known ({code}); open another",
    SequenceRefused: "{call}: the sequence number was refused{words}",
    ServiceUnavailable: "{call} failed inside the service ({code}); try again",
    StreamNotFound: "{call}: there is no such thing in this account and region; check the name, the region and "
    "AWS_ENDPOINT_URL",
    SubscriptionTaken: "{call}: another subscription of the same consumer has it, or had it within the last five "
    "seconds ({code}); wait for five seconds or more, and see who holds the lease{words}",
    TableMissing: "{call}: there is no such table in this account and region",
    Throttled: "{call} was throttled ({code}); nothing was done",
}
_CREDENTIAL_FAULTS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
_SETTING_FAULTS = (ConfigParseError, InvalidRegionError, NoRegionError, ProfileNotFound)
_WIRE_FAULTS = (ChecksumError, ConnectionError, HTTPClientError, IncompleteReadError, ResponseParserError, OSError)
_CREDENTIAL_OPERATIONS = ("AssumeRole", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "GetRoleCredentials")
# An answer without a code, for which botocore puts the status: a refusal that was cut off or garbled, which is a 400,
# or the page of a proxy that is in trouble. Any other status comes of an endpoint that is none, which does not pass.
_NO_REFUSAL = re.compile(r"400|408|429|5\d\d")
_DENIED_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
_TEXT_CHARACTERS_MAX = 300
_ECHOED_VALUE = re.compile(r"[Vv]alue '.*' at '", re.DOTALL)


def translated(error: Exception, operation: str, resource: str) -> KclError:
    """Turn what a call raised into the error that says what happened and what to do.

    Args:
        error: one of `SDK_ERRORS`.
        operation: the IAM action, such as `dynamodb:UpdateItem`.
        resource: what it was called on, in words, such as `table orders` or `stream orders`.
    """
    call = f"{operation} on {resource}"
    if isinstance(error, TableDoesNotExist):
        return TableMissing(_SENTENCE_OF_ERROR[TableMissing].format(call=call))
    if isinstance(error, PynamoDBException) and isinstance(error.cause, Exception):
        return translated(error.cause, operation, resource)
    if isinstance(error, ClientError):
        return _of_answer(error, operation, call)
    return _of_no_answer(error, call)


def code_of(error: KclError) -> str:
    """The service's own code behind a translated error; empty if there was none."""
    cause = error.__cause__
    if isinstance(cause, PynamoDBException):
        cause = cause.cause
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, ClientError) else ""


def _of_no_answer(error: Exception, call: str) -> KclError:
    name = type(error).__name__
    if isinstance(error, _CREDENTIAL_FAULTS):
        return CredentialsError(
            f"{call} was not sent: no usable AWS credentials ({name}); set a profile, a role, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if isinstance(error, _SETTING_FAULTS):
        return ConfigError(f"{call} was not sent: {error} Check AWS_REGION, AWS_PROFILE and the AWS config file.")
    if isinstance(error, _WIRE_FAULTS):
        return ServiceUnavailable(
            f"{call} got no usable answer ({name}); if this lasts, check the endpoint, the network and the region"
        )
    return ServiceError(f"{call} failed in the SDK: {name}")


def _of_answer(error: ClientError, operation: str, call: str) -> KclError:
    details = error.response.get("Error", {})
    # a service may put its namespace in front, or an address behind: com.amazonaws.kinesis#Code:http://...
    code = str(details.get("Code", "")).rpartition("#")[2].partition(":")[0]
    text = str(details.get("Message", ""))
    kind = _kind(error, code, text, operation)
    if error.operation_name in _CREDENTIAL_OPERATIONS and kind not in (Throttled, ServiceUnavailable):
        return CredentialsError(f"{call} was not sent: {error.operation_name} gave no credentials ({code})")
    # the refusal of a put may quote the record
    words = "" if operation.startswith("kinesis:Put") else _quoted(text)
    sentence = _SENTENCE_OF_ERROR.get(kind, "{call} was refused with {code}{words}")
    # a call may take a second permission, such as dynamodb:TagResource or kms:Decrypt
    denied = _DENIED_ACTION.search(text)
    action = operation if denied is None else denied[1]
    return kind(sentence.format(call=call, operation=action, code=code or "no error code", words=words))


def _kind(error: ClientError, code: str, text: str, operation: str) -> type[ServiceError]:
    service, _, action = operation.partition(":")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    about = text.lower() if code == "InvalidArgumentException" else ""
    kinds: tuple[tuple[bool, type[ServiceError]], ...] = (
        (code in _ERROR_OF_CODE, _ERROR_OF_CODE.get(code, ServiceError)),
        (code.startswith("KMS"), EncryptionKeyError),
        (code in ("ResourceNotFoundException", "TableNotFoundException"), _MISSING.get(service, ServiceError)),
        (isinstance(status, int) and status >= 500, ServiceUnavailable),
        (_NO_REFUSAL.fullmatch(code) is not None, ServiceUnavailable),
        (action == "GetRecords" and "iterator" in about, IteratorExpired),
        ("sequence" in about, SequenceRefused),
        (code == "ResourceInUseException" and action in _WHILE_IN_USE, _WHILE_IN_USE.get(action, StreamError)),
    )
    return next((kind for holds, kind in kinds if holds), _REFUSED.get(service, ServiceError))


_WHILE_IN_USE: dict[str, type[ServiceError]] = {
    # a stream that is being created or deleted answers so to reads; a second CreateStream is another matter
    "GetShardIterator": ServiceUnavailable,
    "ListShards": ServiceUnavailable,
    # or the consumer is there already, which a look at it tells
    "RegisterStreamConsumer": ServiceUnavailable,
    "SubscribeToShard": SubscriptionTaken,
}
_MISSING: dict[str, type[ServiceError]] = {"kinesis": StreamNotFound, "dynamodb": TableMissing}
_REFUSED: dict[str, type[ServiceError]] = {"kinesis": StreamError, "dynamodb": TableError}


def _quoted(text: str) -> str:
    """The service's words on one line, without control characters or values that it echoes."""
    line = "".join(character if character.isprintable() else " " for character in _ECHOED_VALUE.sub("value at '", text))
    return f" ({line[:_TEXT_CHARACTERS_MAX]})" if line.strip() else ""
