"""What a lease table's attributes are called. Ours, which no Java reader looks at, all begin with `kclPy`.

Names and types are those of KCL 3.5 (protocol reference, sections 1.1, 1.3 and 3.5). Attributes that are not listed
here belong to others: they are never read, written or removed.
"""

from kcl_py.core import leadership

KEY = "leaseKey"
ENTITY_TYPE = "entityType"

# lease rows
OWNER = "leaseOwner"
CHECKPOINT_OWNER = "checkpointOwner"
COUNTER = "leaseCounter"
CHECKPOINT = "checkpoint"
SUB_SEQUENCE_NUMBER = "checkpointSubSequenceNumber"
OWNER_SWITCHES = "ownerSwitchesSinceCheckpoint"
PENDING_CHECKPOINT = "pendingCheckpoint"
PENDING_SUB_SEQUENCE_NUMBER = "pendingCheckpointSubSequenceNumber"
PENDING_STATE = "pendingCheckpointState"
PARENTS = "parentShardId"  # a set, in spite of its name
CHILDREN = "childShardIds"
HASH_START = "startingHashKey"
HASH_END = "endingHashKey"
THROUGHPUT = "throughputKBps"
STREAM_NAME = "streamName"  # only rows of multi-stream tables carry it
HELD = "kclPyHeld"  # S, the owner string that picked the lease up
START_AT = "kclPyStartAt"  # N, milliseconds since the epoch
CAUGHT_UP_AT = "kclPyCaughtUpAt"  # N, milliseconds since the epoch
STREAM = "kclPyStream"  # S, ARN@creation epoch
APPLICATION = "kclPyApplication"  # S
TABLE = "kclPyTable"  # S, DynamoDB's TableId

# worker entries
LAST_UPDATE = "lut"
STATISTICS = "sts"
OPERATING_RANGE = "opr"
SUPPORT = "sup"
LAST_SUPPORT_UPDATE = "slu"
BEAT = "kclPyBeat"  # N; marks a worker entry as ours
PROTOCOL_VERSION = "kclPyProtocol"  # N
REVOKED = "kclPyRevoked"  # BOOL true, or absent
LEAVING = "kclPyLeaving"  # BOOL true, or absent
PROCESS = "kclPyProcess"  # M: bootId S, pidNamespace S, pid N, startedTicks N
LEASES_MAX = "kclPyLeasesMax"  # N

# the leader lock
LOCK_OWNER = "ownerName"
LOCK_VERSION = "recordVersionNumber"
LOCK_DURATION = "leaseDuration"  # S, milliseconds
LOCK_RELEASED = "isReleased"  # S, "1", or absent
STANDBY = "kclPyStandby"  # S, the session that takes the lock first

LOCK_KEY = leadership.LOCK_KEY
LEASE_TYPE = "LEASE"
SESSION_TYPE = "WORKER_METRIC_STATS"
LOCK_TYPE = "LEADER"
