"""Secrets to plant, and a search that finds them in whatever form they were written."""

import base64
from collections.abc import Iterable

ACCESS_KEY = "AKIAPLANTED0000KEYID"
SECRET_KEY = "wJsecret/planted+key/bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN = "IQoJtoken+planted//////////wEaCXVzLWVhc3QtMSJHMEUCIQDf=="
PAYLOAD = b"bytes-\x00\xff-of-a-planted-payload-7f3a91"
TEXT_PAYLOAD = b"text of a planted payload 5d11"
PARTITION_KEY = "key-91bc-planted-of-a-record"
AGGREGATED_KEY = "inner-key-44e0-planted"
ALL: dict[str, bytes] = {
    "access key": ACCESS_KEY.encode(),
    "secret key": SECRET_KEY.encode(),
    "session token": SESSION_TOKEN.encode(),
    "payload": PAYLOAD,
    "text payload": TEXT_PAYLOAD,
    "partition key": PARTITION_KEY.encode(),
    "aggregated key": AGGREGATED_KEY.encode(),
}
_SHOWN_MIN = 14  # so many characters of a secret, from its beginning, count as the secret


def forms(secret: bytes) -> set[str]:
    """How a secret may look in a text, each cut to its first characters, because logs cut as well."""
    texts = {secret.decode("latin-1"), repr(secret)[2:-1], ascii(secret.decode("utf-8", "replace"))[1:-1]}
    texts |= {secret.hex(), secret.hex().upper(), secret.hex(" ")}
    for place in range(3):  # inside of something longer, base64 begins anywhere
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            texts.add(encode(bytes(place) + secret).decode()[4 if place else 0 : -4])
    return {text[:_SHOWN_MIN] for text in texts} | {str(list(secret[:_SHOWN_MIN]))[1:-1]}


def found(texts: Iterable[str], *, but: Iterable[str] = ()) -> set[str]:
    """Which secrets are in these texts, other than those that may be."""
    everything = "\n".join(texts)
    return {
        name for name, secret in ALL.items() if name not in but and any(form in everything for form in forms(secret))
    }
