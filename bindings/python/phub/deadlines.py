"""Deadlines of futures: one thread for each Worker that has any, none for each operation."""
from __future__ import annotations

import heapq
import itertools
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple

from phub.errors import Error

if TYPE_CHECKING:
    from phub.operation import Operation


class Deadlines:
    """Ends futures whose operation is late, with the sentence that names who is missing."""

    def __init__(self, default: float):
        self._default = default
        self._news = threading.Condition()
        self._heap: List[Tuple[float, int, Any, Callable[[Error], None]]] = []
        self._count = itertools.count()
        self._thread: Optional[threading.Thread] = None
        self._is_closed = False

    def watch(self, operation: Operation, timeout: Optional[float],
              finish: Callable[[Error], None]) -> None:
        """Calls finish(error) when `timeout` seconds pass and the operation has not ended."""
        deadline = time.monotonic() + (self._default if timeout is None else timeout)
        entry = (deadline, next(self._count), operation, finish)
        with self._news:
            is_first = not self._heap or deadline < self._heap[0][0]
            heapq.heappush(self._heap, entry)
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=_run, args=(weakref.ref(self), self._news),
                                                name="phub-deadlines", daemon=True)
                self._thread.start()
            if is_first:
                self._news.notify()

    def close(self) -> None:
        with self._news:
            self._is_closed = True
            self._heap.clear()
            self._news.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _next(self) -> Tuple[Optional[Tuple], float]:
        """What is due, and else how long to wait. Under the lock."""
        while self._heap and self._heap[0][2].done():
            heapq.heappop(self._heap)
        if not self._heap:
            return None, 1.0
        left = self._heap[0][0] - time.monotonic()
        return (heapq.heappop(self._heap), 0.0) if left <= 0 else (None, min(left, 1.0))


def _run(owner: weakref.ref, news: threading.Condition) -> None:
    while True:
        with news:
            deadlines = owner()
            if deadlines is None or deadlines._is_closed:
                return
            due, left = deadlines._next()
            del deadlines
            if due is None:
                news.wait(left)
                continue
        _, _, operation, finish = due
        try:
            operation.wait(0)
        except Error as error:  # Late, or failed meanwhile.
            finish(error)
