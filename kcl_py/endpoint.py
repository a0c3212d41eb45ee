"""Where requests go: a plain http endpoint off this machine would show payloads and signatures to the network."""

import ipaddress
import re
from urllib.parse import urlsplit

from kcl_py.errors import ConfigError
from kcl_py.printable import quoted

_LOOPBACK_AUTHORITY = re.compile(r"(?:[A-Za-z0-9.]+|\[[0-9A-Fa-f:]+\])(?::[0-9]*)?")


def check(url: str, where: str, *, is_plain_http_allowed: bool) -> None:
    """Refuse an endpoint that is not a URL, or not a safe one.

    Args:
        url: such as `http://127.0.0.1:4567`.
        where: names the setting for the message.
        is_plain_http_allowed: take http to any host.

    Raises:
        ConfigError: it is no http or https URL, holds a password, or is plain http to a host that is not loopback.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        has_port = parts.port != 0
    except ValueError:
        host, has_port = None, False
    is_odd = not url.isprintable() or any(character.isspace() for character in url)  # which parsers drop or keep
    if host is None or not has_port or is_odd or parts.scheme not in ("http", "https"):
        raise ConfigError(f"{where} is {shown(url)}; expected a URL such as https://kinesis.eu-west-1.amazonaws.com")
    if "@" in parts.netloc:
        raise ConfigError(f"{where} holds a user name or password; requests are signed instead, so leave it out")
    # the whole of it: what one parser takes for the host and another for something beside it is not a host of ours
    is_here = is_loopback(host) and _LOOPBACK_AUTHORITY.fullmatch(parts.netloc) is not None
    if parts.scheme == "http" and not (is_plain_http_allowed or is_here):
        raise ConfigError(
            f"{where} is {shown(url)}: plain http to another host shows records to the network; "
            "use https, or allow_plain_http where that is meant"
        )


def shown(text: str) -> str:
    """Text that is an address, or quotes one, for a message; without it where it may hold a password."""
    return "not shown, because it may hold a password" if "@" in text else quoted(text)


def is_loopback(host: str) -> bool:
    """True for this machine's own addresses and for `localhost`; names below that are the resolver's to decide."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
