"""An asynchronous session out of whatever session the user has."""

import asyncio
from typing import Any, TypeAlias

import aioboto3
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import RefreshableCredentials

Session: TypeAlias = Any
"""A `boto3.Session` or an `aioboto3.Session`; neither has types."""


def async_session(session: Session | None) -> Any:
    """Turn a boto3 session into an aioboto3 one.

    Region, profile and credentials are carried over. Credentials that are refreshed, such as those of an assumed role,
    stay those of the given session, so they are refreshed wherever they are used, by its own rules. Event handlers and
    data paths of the given session are not carried over.

    Args:
        session: None for the default chain: environment, profile, container, instance.
    """
    if session is None:
        return aioboto3.Session()
    if isinstance(session, aioboto3.Session):
        return session
    core = AioSession()
    # registered as the source of credentials, rather than set: finding them may reach out to a metadata service
    core.register_component("credential_provider", _BorrowedSource(session))
    profile = session.profile_name
    return aioboto3.Session(
        botocore_session=core,
        region_name=session.region_name,
        profile_name=profile if profile in session.available_profiles else None,
    )


class _BorrowedSource:
    """Finds credentials where the user's session finds them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def load_credentials(self) -> "_Borrowed | None":
        """Called by aiobotocore once, when a client is made."""
        return await asyncio.to_thread(self._found)

    def _found(self) -> "_Borrowed | None":
        credentials = self._session.get_credentials()
        return None if credentials is None else _Borrowed(credentials)


class _Borrowed(AioCredentials):  # type: ignore[misc]
    """Credentials of a synchronous session, asked anew for every request, as aiobotocore's signer does."""

    def __init__(self, credentials: Any) -> None:
        now = credentials.get_frozen_credentials()
        super().__init__(now.access_key, now.secret_key, now.token, credentials.method, now.account_id)
        self._lender = credentials

    async def get_frozen_credentials(self) -> Any:
        """The keys to sign with. A refresh is a blocking call, so it has a thread of its own."""
        if isinstance(self._lender, RefreshableCredentials) and self._lender.refresh_needed():
            return await asyncio.to_thread(self._lender.get_frozen_credentials)
        return self._lender.get_frozen_credentials()
