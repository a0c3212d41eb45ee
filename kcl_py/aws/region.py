"""Which region a client is made for."""

import os


def chosen(given: str | None, of_the_session: str | None) -> str | None:
    """The first of: what was given, what a session that the user passed says, AWS_REGION; None leaves it to the SDK.

    botocore reads AWS_DEFAULT_REGION and the profile, and, unlike the other SDKs and the containers that set it, not
    AWS_REGION.
    """
    return given or of_the_session or os.environ.get("AWS_REGION") or None
