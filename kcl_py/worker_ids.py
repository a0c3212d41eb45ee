"""Worker ids: how this process calls itself, and what may not be one, because the lease table's keys are shared."""

import os
import re
import socket

RESERVED_KEYS = frozenset({"Leader", "Migration3.0", "TableMigration3.5"})
"""Keys of a lease table that the Java KCL keeps for itself (protocol reference, sections 2 and 3.5)."""

_SHARD_ID = re.compile(r"shardId-.*", re.DOTALL)
_STREAM_ID = re.compile(r"\d{12}:[^:]+:\d+(:.*)?", re.DOTALL)  # how the Java KCL keys the leases of many streams


def default() -> str:
    """`<hostname>-<pid>`, with what a worker id may not contain replaced by a dash."""
    host = re.sub(r"[^a-zA-Z0-9_.-]+", "-", socket.gethostname()).strip("-") or "worker"
    return f"{host[:200]}-{os.getpid()}"


def flaw(worker_id: str) -> str | None:
    """Why this cannot be a worker id; None if it can."""
    if "@" in worker_id:
        return "an @ separates it from the session's suffix, so it cannot contain one"
    if not worker_id.isprintable() or worker_id != worker_id.strip() or not 1 <= len(worker_id) <= 256:
        return "expected 1 to 256 printable characters, without blanks around them"
    if worker_id in RESERVED_KEYS:
        return "the lease table keeps that key for itself"
    if _SHARD_ID.fullmatch(worker_id) or _STREAM_ID.fullmatch(worker_id):
        return "it looks like the key of a shard's lease"
    return None
