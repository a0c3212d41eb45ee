"""How a stream is called: by its name, or by its ARN, which also tells the region."""

import re

from kcl_py.errors import ConfigError
from kcl_py.printable import quoted

# the patterns of StreamName and StreamARN in the API reference
_NAME_OR_ARN = re.compile(
    r"[a-zA-Z0-9_.-]{1,128}|arn:aws[a-z-]*:kinesis:[a-z0-9-]+:\d{12}:stream/[a-zA-Z0-9_.-]{1,128}", re.ASCII
)


def check(stream: str, where: str = "stream") -> None:
    """Refuse what is neither a name nor an ARN.

    Raises:
        ConfigError: naming `where`.
    """
    if not _NAME_OR_ARN.fullmatch(stream):
        raise ConfigError(f"{where} is {quoted(stream)}; expected a stream's name or ARN")


def check_consumer(name: str, application: str) -> None:
    """Refuse what cannot name a fan-out consumer, which has the form of a stream's name.

    Raises:
        ConfigError: says which setting it comes from, and what is expected.
    """
    if not is_name(name):
        whose = "application, which names the fan-out consumer too," if name == application else "fan_out_consumer"
        raise ConfigError(f"{whose} is {quoted(name)}; expected 1 to 128 of A-Z, a-z, 0-9, '.', '-' and '_'")


def is_name(text: str) -> bool:
    """True for what may be a stream's name."""
    return not is_arn(text) and _NAME_OR_ARN.fullmatch(text) is not None


def is_arn(stream: str) -> bool:
    """True for an ARN, False for a name."""
    return stream.startswith("arn:")


def name_of(stream: str) -> str:
    """The name, also out of an ARN."""
    return stream.rpartition("/")[2]


def region_of(stream: str) -> str | None:
    """The region that an ARN names; None for a name."""
    return stream.split(":")[3] if is_arn(stream) else None


def check_region(stream: str, region: str | None) -> None:
    """Refuse a region beside an ARN that names another one.

    Raises:
        ConfigError: names both.
    """
    of_the_arn = region_of(stream)
    if region is not None and of_the_arn not in (None, region):
        raise ConfigError(f"region is {quoted(region)}, and the stream's ARN says {of_the_arn}; leave one out")
