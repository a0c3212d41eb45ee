"""Every setting of a worker: name, default, unit and reason, once.

The fields of `Config` are the schema. The command line's options, the environment's names, the keys of `kcl.toml` and
of `[tool.kcl_py]`, and the text of `kcl-py run --help` all come from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, get_type_hints

import msgspec

from kcl_py import endpoint, stream_names, table_names, worker_ids
from kcl_py.config_source import given, sources
from kcl_py.core.position import StartPosition
from kcl_py.errors import ConfigError
from kcl_py.printable import quoted
from kcl_py.setting import COUNT, DURATION, SIZE, START, SWITCH, TAGS, TEXT, Setting, choice


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know. Checked when it is made; never changed afterwards.

    `Config(stream="orders", application="billing", failover_seconds=20)`: names end in the unit, values are numbers.
    `kcl-py run --help` gives every setting's reason.

    Raises:
        ConfigError: a value has the wrong type, is out of bounds, or contradicts another.
    """

    # -- what to read, and who reads it

    stream: Annotated[
        str, Setting(form=TEXT, is_required=True, reason="The Kinesis stream: its name, or its ARN in any account.")
    ]
    application: Annotated[
        str, Setting(form=TEXT, is_required=True, reason="Workers of one application share the stream's shards.")
    ]
    start: Annotated[
        StartPosition,
        Setting(
            form=START,
            reason="Where to begin in a shard without a checkpoint: at the oldest record, which misses nothing, at the "
            "tip, or at a time such as 2026-03-01T09:00:00Z.",
        ),
    ] = StartPosition.TRIM_HORIZON
    worker_id: Annotated[
        str, Setting(form=TEXT, reason="Names this worker in the lease table and in logs. Default: <hostname>-<pid>.")
    ] = msgspec.field(default_factory=worker_ids.default)
    region: Annotated[
        str | None, Setting(form=TEXT, reason="The AWS region. Default: the stream's ARN, then the usual AWS settings.")
    ] = None
    endpoint_url: Annotated[
        str | None,
        Setting(
            form=TEXT,
            reason="One endpoint for Kinesis and DynamoDB; AWS_ENDPOINT_URL_KINESIS and AWS_ENDPOINT_URL_DYNAMODB "
            "name one each.",
        ),
    ] = None
    allow_plain_http: Annotated[
        bool, Setting(form=SWITCH, reason="Allow an http:// endpoint that is not on this machine's loopback.")
    ] = False
    direct_reads: Annotated[bool, Setting(form=SWITCH, reason="Spare GetRecords the SDK's client where it can.")] = True

    # -- enhanced fan-out

    fan_out: Annotated[
        bool, Setting(form=SWITCH, reason="Read by enhanced fan-out: 2 MB/s of each shard for itself, at a price.")
    ] = False
    fan_out_consumer: Annotated[
        str, Setting(form=TEXT, reason="The name of the fan-out consumer. Default: the application's name.")
    ] = ""
    fan_out_fallback: Annotated[
        bool, Setting(form=SWITCH, reason="Read by polling while a shard cannot be subscribed to, instead of waiting.")
    ] = True

    # -- the lease table

    table_name: Annotated[
        str, Setting(form=TEXT, reason="The DynamoDB table that holds the leases. Default: the application's name.")
    ] = ""
    create_table: Annotated[
        bool, Setting(form=SWITCH, reason="Create the lease table where there is none; off where others provision it.")
    ] = True
    table_tags: Annotated[Mapping[str, str], Setting(form=TAGS, reason="Tags of a lease table that is created.")] = (
        msgspec.field(default_factory=dict)
    )
    table_point_in_time_recovery: Annotated[
        bool, Setting(form=SWITCH, reason="Turn point-in-time recovery on for the lease table, an existing one too.")
    ] = False
    table_deletion_protection: Annotated[
        bool, Setting(form=SWITCH, reason="Turn deletion protection on for a lease table that is created.")
    ] = False
    take_over: Annotated[
        bool,
        Setting(
            form=SWITCH,
            reason="Take a Java KCL's lease table over, once its workers have been silent; they must stay stopped.",
        ),
    ] = False
    accept_restored_table: Annotated[
        bool,
        Setting(form=SWITCH, reason="Go on with a lease table that was restored from a backup: records repeat."),
    ] = False

    # -- time

    failover_seconds: Annotated[
        float,
        Setting(
            form=DURATION,
            minimum=2,
            maximum=3600,
            reason="How long a worker may be silent before it counts as dead. A third of it passes between two beats, "
            "so less than 2s would take a slow answer for a death.",
        ),
    ] = 10.0
    checkpoint_interval_seconds: Annotated[
        float,
        Setting(
            form=DURATION,
            minimum=0.1,
            maximum=3600,
            reason="How often progress is written, where there is any. A crash repeats that and the batch in flight.",
        ),
    ] = 5.0
    shutdown_grace_seconds: Annotated[
        float,
        Setting(
            form=DURATION,
            minimum=0,
            maximum=3600,
            reason="How long a stop waits for the batch in flight; the default fits inside an orchestrator's 30s.",
        ),
    ] = 25.0
    shard_listing_interval_seconds: Annotated[
        float,
        Setting(
            form=DURATION,
            minimum=1,
            maximum=3600,
            reason="How often the stream's shards are listed to repair what was missed; children of an ended shard "
            "are known without it.",
        ),
    ] = 60.0
    idle_read_interval_seconds: Annotated[
        float,
        Setting(
            form=DURATION,
            minimum=0.2,
            maximum=240,
            reason="Pause between two reads of a shard that is read up to its tip. Five reads a second is what the "
            "service allows; an iterator lives five minutes.",
        ),
    ] = 1.0

    # -- how much

    read_limit: Annotated[
        int,
        Setting(form=COUNT, minimum=1, maximum=10_000, reason="Records per GetRecords call; the service's own limit."),
    ] = 10_000
    buffer_bytes_max: Annotated[
        int,
        Setting(
            form=SIZE,
            key="buffer",
            minimum=1,
            reason="Payload held by all shards but those that are stopped; reading waits when it is full.",
        ),
    ] = 64 * 2**20
    uncheckpointed_records_max: Annotated[
        int,
        Setting(
            form=COUNT,
            minimum=1,
            reason="Records of a shard delivered and not yet checkpointed. It bounds what a crash repeats: with "
            "automatic checkpoints delivery waits for one, with manual ones a warning is raised.",
        ),
    ] = 100_000
    leases_max: Annotated[
        int | None,
        Setting(form=COUNT, minimum=1, reason="Shards that this worker holds at most. Default: no limit."),
    ] = None
    balance: Annotated[
        Literal["weight", "lease_count"],
        Setting(
            form=choice("weight", "lease_count"),
            reason="What workers share equally: shards and the bytes that flow, or shards alone. The leader's counts.",
        ),
    ] = "weight"

    foreign_user_records: Annotated[
        Literal["deliver", "drop"],
        Setting(form=choice("deliver", "drop"), reason="KPL user records of another shard; what is dropped is told."),
    ] = "deliver"

    # -- when the processor raises, or hangs

    retry_attempts: Annotated[
        int,
        Setting(form=COUNT, minimum=1, reason="How often a batch is tried before its shard is stopped; others go on."),
    ] = 5
    retry_backoff_max_seconds: Annotated[
        float,
        Setting(form=DURATION, minimum=0.1, maximum=3600, reason="The longest pause between two attempts; they grow."),
    ] = 30.0
    retry_stopped_seconds: Annotated[
        float,
        Setting(
            form=DURATION,
            minimum=1,
            maximum=86_400,
            reason="How often a stopped shard, which skips nothing, is tried again; with fan-out 5.5s at the least.",
        ),
    ] = 60.0
    stall_timeout_seconds: Annotated[
        float,
        Setting(
            form=DURATION,
            minimum=10,
            maximum=86_400,
            reason="How long a call may hang before its shard is begun again, then given to another worker. Longer "
            "than a batch takes, or that is cut for ever: 10,000 records at 100ms are 17m. A checkpoint in it counts.",
        ),
    ] = 1800.0

    # -- output

    log_format: Annotated[
        Literal["text", "json"],
        Setting(form=choice("text", "json"), reason="How `kcl-py run` writes its log to standard error."),
    ] = "text"

    def __post_init__(self) -> None:
        if not self.table_name:
            msgspec.structs.force_setattr(self, "table_name", self.application)
        if not self.fan_out_consumer:
            msgspec.structs.force_setattr(self, "fan_out_consumer", self.application)
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            if value is not None or setting.is_required or default_of(name) is not None:
                setting.check(value, name)
        self._check_together()

    @property
    def stream_name(self) -> str:
        """The stream's name, also where `stream` is its ARN."""
        return stream_names.name_of(self.stream)

    @classmethod
    def load(cls, cli: Mapping[str, object], env: Mapping[str, str], directory: Path) -> Self:
        """Read the settings: the command line first, then the environment, then the file, then the defaults.

        Args:
            cli: values by key; None where the option was not given.
            env: the environment; every `KCL_PY_…` in it must be a setting.
            directory: holds `kcl.toml`, or a `pyproject.toml` with a table `[tool.kcl_py]`; neither is needed.

        Raises:
            ConfigError: a key is unknown, a value has the wrong form, or two contradict each other.
        """
        return cls(**given(sources(cli, env, directory, SETTINGS.values()), SETTINGS))

    def _check_together(self) -> None:
        stream_names.check(self.stream)
        stream_names.check_region(self.stream, self.region)
        table_names.check(self.table_name, self.application)
        if self.fan_out:
            stream_names.check_consumer(self.fan_out_consumer, self.application)
        if (reason := worker_ids.flaw(self.worker_id)) is not None:
            raise ConfigError(f"worker_id is {quoted(self.worker_id)}; {reason}")
        if self.endpoint_url is not None:
            endpoint.check(self.endpoint_url, "endpoint_url", is_plain_http_allowed=self.allow_plain_http)
        if not self.fan_out and (self.fan_out_consumer != self.application or not self.fan_out_fallback):
            raise ConfigError("fan_out_consumer or fan_out_fallback is set, and fan_out is off: add --fan-out")
        if not self.create_table:
            for name in ("table_tags", "table_point_in_time_recovery", "table_deletion_protection"):
                if getattr(self, name):
                    raise ConfigError(f"{name} is for a table that is created, and create_table is off; drop one")


def _schema() -> dict[str, Setting]:
    hints = get_type_hints(Config, include_extras=True)
    return {
        name: msgspec.structs.replace(setting, key=setting.key or name.removesuffix("_seconds"))
        for name in Config.__struct_fields__
        for setting in hints[name].__metadata__
    }


SETTINGS: Mapping[str, Setting] = _schema()
"""Every setting by its name in Python."""


def default_of(name: str) -> object:
    """What a setting is when nobody says otherwise; None where it is required or depends on others."""
    default = {field.name: field.default for field in msgspec.structs.fields(Config)}[name]
    return None if default is msgspec.NODEFAULT or default == "" else default
