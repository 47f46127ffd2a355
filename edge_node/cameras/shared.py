"""What several readers of one recording need is made once, and before they need it.

The cameras of a rig play one recording beside each other and come to each of its parts at the same
moment. Where each decoded it by itself they would hold one another up, a different camera for a
different time, and fall apart.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Shared(Generic[T]):
    """Keeps what was made last, by key. Any thread may call any method.

    Args:
        most: How much is kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Future[T]] = OrderedDict()
        self._asked: SimpleQueue[tuple[Hashable, Future[T], Callable[[], T]]] = SimpleQueue()
        self._worker: threading.Thread | None = None

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what is kept under a key; made now where nothing is, by whoever asks first.

        Raises:
            Exception: What making it raised; the next one who asks tries again.
        """
        with self._lock:
            found = self._kept.get(key)
            future = found or self._promise(key)
            self._kept.move_to_end(key)
        if found is None:
            self._fill(key, future, make)
        return future.result()

    def prepare(self, key: Hashable, make: Callable[[], T]) -> None:
        """Have it made in the background where nothing is kept under a key; returns at once."""
        with self._lock:
            if key in self._kept:
                return
            if self._worker is None:
                # A daemon: where a disk does not answer, it goes with the process.
                worker = threading.Thread(target=self._work, name="read ahead", daemon=True)
                worker.start()
                self._worker = worker
            self._asked.put((key, self._promise(key), make))

    def _work(self) -> None:
        while True:
            self._fill(*self._asked.get())

    def _promise(self, key: Hashable) -> Future[T]:
        future = self._kept[key] = Future()
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return future

    def _fill(self, key: Hashable, future: Future[T], make: Callable[[], T]) -> None:
        try:
            future.set_result(make())
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is future:
                    del self._kept[key]
            future.set_exception(error)
            if not isinstance(error, Exception):
                raise
