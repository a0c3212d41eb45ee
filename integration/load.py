"""Records that keep coming while something happens."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from integration.produced import Producer


class Load:
    """Puts one record of every key again and again while a `with` block runs, in a thread of its own."""

    def __init__(self, producer: Producer, keys: Sequence[str], interval_seconds: float = 0.25) -> None:
        self._producer = producer
        self._keys = keys
        self._interval_seconds = interval_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._put, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _put(self) -> None:
        try:
            while not self._is_over.wait(self._interval_seconds):
                self._producer.put_rounds(self._keys, 1)
        except BaseException as error:
            self._error = error  # for whoever waits for these records
            raise
