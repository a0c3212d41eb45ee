"""Every exception of kcl_py, as a tree. A message says what happened and what to do next.

KclError
├── ConfigError                 a setting is unknown, of the wrong form, or contradicts another
├── ProcessorError              the processor is not one: wrong class, mixed def and async def, bad declaration
├── CheckpointError             a checkpoint was refused: behind the last one, or above an unfinished record
├── LeaseLost                   another worker may have the shard; nothing can be checkpointed any more
├── WorkerStalled               the event loop was blocked for the stall timeout; the worker has left the fleet
└── ServiceError                AWS, or a local stand-in, answered with an error
    ├── AccessDenied            a permission is missing; names the IAM action
    ├── Throttled               the service asked to slow down; nothing was done
    ├── ServiceUnavailable      no usable answer: 5xx, timeout, connection; a write may or may not be done
    ├── CredentialsError        there are no credentials, or they expired
    ├── StreamError
    │   ├── StreamNotFound      no such stream or shard
    │   ├── ConsumerMissing     no such enhanced fan-out consumer (any more)
    │   ├── SubscriptionTaken   another subscription of the same consumer has the shard, or had it seconds ago
    │   ├── IteratorExpired     a shard iterator older than five minutes, or one the service does not know
    │   ├── SequenceRefused     the service does not accept the sequence number for this shard
    │   └── EncryptionKeyError  the stream's KMS key is missing, disabled or denied
    └── TableError
        ├── TableMissing        the lease table does not exist (any more)
        ├── RowUnreadable       a lease row or worker entry does not parse
        ├── ConditionFailed     somebody else wrote the row first; nothing was done
        └── TableRefused        the table has another shape, or belongs to another stream, application or fleet
"""


class KclError(Exception):
    """The root of every error that kcl_py raises on purpose."""

    exit_code = 1


class ConfigError(KclError):
    """A setting is unknown, of the wrong form, or contradicts another."""

    exit_code = 2


class ProcessorError(KclError):
    """The given processor cannot be used."""

    exit_code = 2


class CheckpointError(KclError):
    """A checkpoint was refused; nothing was written."""


class LeaseLost(KclError):
    """The lease is not ours any more, or may not be; nothing was written."""


class WorkerStalled(KclError):
    """The event loop was blocked for so long that the worker gave its leases up and left the fleet."""


class ServiceError(KclError):
    """A service answered with an error that has no class of its own here."""

    exit_code = 3


class AccessDenied(ServiceError):
    """A permission is missing; the message names the IAM action."""


class Throttled(ServiceError):
    """The service asked to slow down. Nothing was done."""


class ServiceUnavailable(ServiceError):
    """No usable answer. A read may be repeated; whether a write was done is unknown."""


class CredentialsError(ServiceError):
    """There are no AWS credentials, or they are no longer valid."""


class StreamError(ServiceError):
    """Kinesis answered with an error about the stream."""


class StreamNotFound(StreamError):
    """No such stream or shard under this name, account and region."""


class ConsumerMissing(StreamError):
    """The enhanced fan-out consumer does not exist, or not any more."""


class SubscriptionTaken(StreamError):
    """The shard is subscribed to through the same consumer by somebody else, or was within the last five seconds."""


class IteratorExpired(StreamError):
    """The shard iterator is no longer good; open another after the last delivered record."""


class SequenceRefused(StreamError):
    """The service does not accept the sequence number for this shard."""


class EncryptionKeyError(StreamError):
    """The stream is encrypted with a KMS key that is missing, disabled, denied or throttled."""


class TableError(ServiceError):
    """DynamoDB answered with an error about the lease table."""


class TableMissing(TableError):
    """The lease table does not exist."""


class RowUnreadable(TableError):
    """A lease row or worker entry does not parse; it was left alone."""


class ConditionFailed(TableError):
    """The row is not as it was seen. Nothing was done."""


class TableRefused(TableError):
    """The table is not one that this worker may use; nothing was changed."""


TROUBLE = (Throttled, ServiceUnavailable, CredentialsError, AccessDenied)
"""What may pass by itself, or by somebody's hand, while a worker runs: it is tried again, and said aloud."""

READ_TROUBLE = (Throttled, ServiceUnavailable, CredentialsError, EncryptionKeyError, StreamNotFound)
"""The same of reading, but for a permission that never was, which nobody gets by waiting."""
