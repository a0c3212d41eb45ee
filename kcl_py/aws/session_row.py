"""Worker entries <-> `Session`, laid out as Java readers expect them (protocol reference, section 1.3). Pure."""

from kcl_py.aws.attributes import (
    Attributes,
    AttributeValue,
    RowError,
    RowUpdate,
    decimal_of,
    difference,
    integer_in,
    number,
    required,
    text_in,
    value_in,
)
from kcl_py.aws.columns import (
    BEAT,
    ENTITY_TYPE,
    KEY,
    LAST_SUPPORT_UPDATE,
    LAST_UPDATE,
    LEASES_MAX,
    LEAVING,
    OPERATING_RANGE,
    PROCESS,
    PROTOCOL_VERSION,
    REVOKED,
    SESSION_TYPE,
    STATISTICS,
    SUPPORT,
)
from kcl_py.core.session import PROTOCOL, Process, Session

_CPU = "C"
_CPU_PERCENT_MAX = 100  # a Java leader balances up to this utilisation


def session_attributes(session: Session) -> dict[str, AttributeValue]:
    """A session as a worker entry; the maps are empty for a worker without metrics, and must be there all the same."""
    is_measured = bool(session.cpu_percents)
    item: dict[str, AttributeValue] = {
        KEY: {"S": session.key},
        ENTITY_TYPE: {"S": SESSION_TYPE},
        LAST_UPDATE: number(session.updated_at_seconds),
        STATISTICS: {"M": {_CPU: {"L": [number(percent) for percent in session.cpu_percents]}} if is_measured else {}},
        OPERATING_RANGE: {"M": {_CPU: {"L": [number(_CPU_PERCENT_MAX)]}} if is_measured else {}},
        SUPPORT: number(1),
        LAST_SUPPORT_UPDATE: number(session.updated_at_seconds),
        BEAT: number(session.beat),
        PROTOCOL_VERSION: number(session.protocol),
    }
    for name, is_set in ((REVOKED, session.is_revoked), (LEAVING, session.is_leaving)):
        if is_set:
            item[name] = {"BOOL": True}
    if session.leases_max is not None:
        item[LEASES_MAX] = number(session.leases_max)
    if session.process is not None:
        item[PROCESS] = {
            "M": {
                "bootId": {"S": session.process.boot_id},
                "pidNamespace": {"S": session.process.pid_namespace},
                "pid": number(session.process.pid),
                "startedTicks": number(session.process.started_ticks),
            }
        }
    return item


def session_update(before: Session, after: Session) -> RowUpdate:
    """The attributes in which `after` differs from `before`; the beat at least, so that there is something to write."""
    update = difference(session_attributes(before), session_attributes(after))
    return update if update.assigned or update.removed else RowUpdate({BEAT: number(after.beat)}, ())


def session_of(item: Attributes) -> Session:
    """Read a worker entry that a kcl_py session wrote.

    Raises:
        RowError: an attribute is missing, of another type, or out of range; also for a worker entry without a beat,
            which a Java worker wrote.
    """
    if text_in(item, ENTITY_TYPE) != SESSION_TYPE:
        raise RowError(f"{ENTITY_TYPE} is not {SESSION_TYPE}")
    process = value_in(item, PROCESS, "M", dict)
    return Session(
        key=required(KEY, text_in(item, KEY)),
        beat=required(BEAT, integer_in(item, BEAT)),
        is_revoked=bool(value_in(item, REVOKED, "BOOL", bool)),
        is_leaving=bool(value_in(item, LEAVING, "BOOL", bool)),
        protocol=integer_in(item, PROTOCOL_VERSION) or PROTOCOL,
        process=None if process is None else _process(process),
        updated_at_seconds=integer_in(item, LAST_UPDATE) or 0,
        leases_max=integer_in(item, LEASES_MAX),
        cpu_percents=_cpu_percents(item),
    )


def _cpu_percents(item: Attributes) -> tuple[float, ...]:
    """The averages; none of them if one does not parse, because no metric is worth a session."""
    try:
        statistics: Attributes = value_in(item, STATISTICS, "M", dict) or {}
        percents = [decimal_of(typed) for typed in value_in(statistics, _CPU, "L", list) or []]
    except RowError:
        return ()
    known = tuple(percent for percent in percents if percent is not None)
    return known if len(known) == len(percents) else ()


def _process(parts: Attributes) -> Process:
    return Process(
        boot_id=required("bootId", text_in(parts, "bootId")),
        pid_namespace=required("pidNamespace", text_in(parts, "pidNamespace")),
        pid=required("pid", integer_in(parts, "pid")),
        started_ticks=required("startedTicks", integer_in(parts, "startedTicks")),
    )
