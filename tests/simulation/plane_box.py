"""The mailbox between two planes that share the simulation's loop and are different actors in it."""

from collections.abc import Callable
from contextvars import copy_context

from kcl_py.runtime.mailbox import Box, FromDataPlane, FromKeeper, Mailbox, Message


class PlaneBox(Box[Message]):
    """Delivers into the context of whoever opened it, as a box between two loops does."""

    def open(self, receive: Callable[[Message], None]) -> None:
        self._context = copy_context()
        super().open(receive)

    def put(self, message: Message) -> None:
        if self._loop is None:
            self._waiting.append(message)
        else:
            self._loop.call_soon(self._deliver, message, context=self._context)


class PlaneMailbox(Mailbox):
    """Both directions."""

    def __init__(self) -> None:
        self.to_keeper = PlaneBox[FromDataPlane]()
        self.to_data_plane = PlaneBox[FromKeeper]()
