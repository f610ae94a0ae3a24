"""What a process group's calls return, and the threads that carry them out."""
from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from datetime import timedelta
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
import torch.distributed as dist

from phub.errors import Aborted, Error, FailedPrecondition, Internal, TimedOut
from phub.messenger import ANY_PEER
from phub.torch.mesh import Mesh, Pending

_SLICE = 0.1  # Between looks at who of those is late that messages are awaited from.


class Work(dist.Work):
    """One call under way. Its future's value are the tensors; both raise the phub.Error."""

    def __init__(self, what: str, tensors: List[torch.Tensor]):
        super().__init__()
        self.what = what
        self.reason: Optional[Error] = None  # Why it is cancelled.
        self._tensors = tensors
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._is_over = False
        self._error: Optional[Error] = None
        self._source = -1
        self._ended: torch.futures.Future = torch.futures.Future()
        # Raised in then(): so it is an error also for those who wait in C++.
        self._future = self._ended.then(lambda _: self._value())

    def finish(self, error: Optional[Error], source: int = -1) -> None:
        """Once; later calls change nothing."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        self._error, self._source = error and (self.reason or error), source
        self._end.set()
        self._ended.set_result(None)

    def _value(self) -> List[torch.Tensor]:
        if self._error is not None:
            raise self._error
        return self._tensors

    def wait(self, timeout: timedelta = timedelta(0)) -> bool:
        """Returns when it has ended: its group's timeout sees to that. TimedOut: an earlier one."""
        seconds = timeout.total_seconds()
        if not self._end.wait(seconds if seconds > 0 else None):
            raise TimedOut(f"{self.what}: not finished within {seconds:.3g} s; it goes on")
        self._value()
        return True

    def get_future(self) -> torch.futures.Future:
        return self._future

    def is_completed(self) -> bool:
        return self._end.is_set()

    def is_success(self) -> bool:
        return self._end.is_set() and self._error is None

    def exception(self) -> Optional[Error]:
        return self._error

    def result(self) -> List[torch.Tensor]:
        return self._tensors

    def source_rank(self) -> int:
        return self._source

    _source_rank = source_rank

    def synchronize(self) -> None:
        self.wait()


class Lane:
    """Carries out works in the order of their coming, on one thread."""

    def __init__(self, mesh: Mesh):
        self._mesh = mesh
        self._queue: "queue.SimpleQueue[Optional[Tuple[Work, Callable[[], None]]]]" = (
            queue.SimpleQueue())
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="phub-group", daemon=True)
        self._thread.start()

    def check_process(self, what: str) -> None:
        """FailedPrecondition: this process is a fork of the one that made the group."""
        if os.getpid() != self._process:
            raise FailedPrecondition(f"{what}: this process group belongs to the process that "
                                     "forked this one; call init_process_group here, too")

    def add(self, work: Work, function: Callable[[], None]) -> None:
        self.check_process(work.what)
        self._queue.put((work, function))

    def close(self, seconds: float) -> None:
        """Ends when all is done, or, with an error, after this time."""
        if os.getpid() != self._process:
            return
        self._queue.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._mesh.fail(Aborted(f'group "{self._mesh.name}" was destroyed at '
                                    f"{self._mesh.text_of([self._mesh.rank])}"))
            self._thread.join(seconds)

    def _run(self) -> None:
        with torch.no_grad():
            while True:
                item = self._queue.get()
                if item is None:
                    return
                work, function = item
                work.finish(self._error_of(work, function))
                del item, work, function

    def _error_of(self, work: Work, function: Callable[[], None]) -> Optional[Error]:
        if self._mesh.failure is not None:
            return self._mesh.failure
        try:
            function()
        except Error as error:
            failure = error
        except Exception:  # Of torch: its sentence is the reason.
            failure = Internal(f"{work.what}: {traceback.format_exc(limit=-1)}")
        else:
            return None
        self._mesh.fail(failure)
        return failure


class Watch:
    """Ends single sends and receives that are late, or whose group has failed."""

    def __init__(self, mesh: Mesh):
        self._mesh = mesh
        self._news = threading.Condition()
        self._works: Dict[Work, Tuple[float, Pending]] = {}
        self._is_closed = False
        self._thread: Optional[threading.Thread] = None

    def add(self, work: Work, pending: Pending, seconds: float) -> None:
        with self._news:
            self._works[work] = (time.monotonic() + seconds, pending)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="phub-watch", daemon=True)
                self._thread.start()
            self._news.notify()

    def forget(self, work: Work) -> None:
        with self._news:
            self._works.pop(work, None)

    def close(self) -> None:
        with self._news:
            self._is_closed = True
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                if not self._works and not self._is_closed:
                    self._news.wait()
                else:
                    self._news.wait(0 if self._is_closed else _SLICE)
                works, is_closed = list(self._works.items()), self._is_closed
            for work, (deadline, pending) in works:
                error = self._error_of(work, deadline, pending, is_closed)
                if error is not None:
                    work.reason = error
                    pending[1].cancel()
                    work.finish(error)
                    self.forget(work)
            del works
            if is_closed:
                return

    def _error_of(self, work: Work, deadline: float, pending: Pending,
                  is_closed: bool) -> Optional[Error]:
        if pending[1].done():
            return None  # Its own callback finishes it.
        try:
            self._mesh.check(work.what)
        except Error as error:
            return error
        if is_closed:
            return Aborted(f"{work.what}: the group was destroyed")
        if time.monotonic() < deadline:
            return None
        if pending[0] == ANY_PEER:
            return TimedOut(f"{work.what}: no rank has sent anything in time")
        who = self._mesh.text_of([pending[0]])
        return TimedOut(f"{work.what}: {who} did not take part in time")


def seconds_of(options: Any, default: float) -> float:
    """The timeout of a call's options, where it has one."""
    timeout = getattr(options, "timeout", None)
    seconds = timeout.total_seconds() if timeout is not None else 0.0
    return seconds if seconds > 0 else default
