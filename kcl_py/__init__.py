"""A Kinesis Client Library in pure Python: subclass `RecordProcessor`, run a `Worker`, lose nothing."""

from typing import TYPE_CHECKING

from kcl_py import events
from kcl_py._version import __version__
from kcl_py.config import Config
from kcl_py.core.batch import RecordBatch
from kcl_py.core.position import StartPosition
from kcl_py.core.record import Record
from kcl_py.errors import CheckpointError, ConfigError, KclError, LeaseLost
from kcl_py.processor import Checkpointer, RecordProcessor, ShardContext

if TYPE_CHECKING:
    from kcl_py.worker import Worker

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "Config",
    "ConfigError",
    "KclError",
    "LeaseLost",
    "Record",
    "RecordBatch",
    "RecordProcessor",
    "ShardContext",
    "StartPosition",
    "Worker",
    "__version__",
    "events",
]


if not TYPE_CHECKING:  # a type checker would take any name for granted that a module's __getattr__ might know

    def __getattr__(name: str) -> object:
        """Import the worker when it is asked for: it brings the AWS SDK along, which takes half a second."""
        if name == "Worker":
            from kcl_py.worker import Worker

            return Worker
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
