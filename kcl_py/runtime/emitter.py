"""Events, to whoever listens."""

from collections.abc import Sequence

from kcl_py.events import Event, Listener


class Emitter:
    """Hands every event to every listener. One that raises is counted and hurts nobody."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)
        self.failures = 0

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener is user code
                self.failures += 1
