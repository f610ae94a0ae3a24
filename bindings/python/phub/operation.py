"""One started exchange: something to wait for, to await, or to be called by."""
from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, Any, Callable, Generator, Optional

from phub.errors import Error, FailedPrecondition
from phub.types import Tensor

if TYPE_CHECKING:
    from phub.worker import Worker


class Operation:
    """A started operation on one tensor. May be dropped without waiting: it goes on.

    tensor  the tensor
    round   of this tensor, from 1
    array   where the result lands, an array of tensor.spec.count elements; undefined before the
            operation ends. None for push.
    """

    __slots__ = ("_core", "_worker", "tensor", "array")

    def __init__(self, core: Any, worker: Worker, tensor: Tensor, array: Any):
        self._core = core
        self._worker = worker
        self.tensor = tensor
        self.array = array

    @property
    def round(self) -> int:
        return self._core.round

    def wait(self, timeout: Optional[float] = None) -> Any:
        """Returns `array` when the operation has ended. Waiting twice is allowed.

        timeout: seconds; None: the worker's wait_timeout.
        TimedOut: the deadline passed; names the ranks that are late, and on which tensor; the
        operation goes on. Aborted: a rank failed; names it. Unavailable: names the hub.
        """
        self._core.wait(timeout)
        return self.array

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._core.done()

    def error(self) -> Optional[Error]:
        """What wait() would raise; None while it goes on, or if it ended well."""
        return self._core.error() if self._core.done() else None

    def add_done_callback(self, function: Callable[[Operation], Any]) -> None:
        """Calls function(operation) once, when it has ended: at once if it has.

        On the thread that noticed: a thread of the library, which must not be blocked. It may start
        new operations. Exceptions go to sys.unraisablehook.
        """
        self._core.call_when_done(lambda error: function(self))

    def watch(self, function: Callable[[Optional[Error]], Any],
              timeout: Optional[float] = None) -> None:
        """Calls function(error or None) when it has ended, or with TimedOut after `timeout` seconds
        (None: the worker's wait_timeout), and perhaps once more when it ends after that.

        As add_done_callback; TimedOut comes on another thread. FailedPrecondition: the Worker has
        progress="caller": nobody would call.
        """
        if not self._worker._core.has_thread:
            raise FailedPrecondition('this Worker has progress="caller", so nobody would complete '
                                     'a future; connect with progress="thread"')
        self._core.call_when_done(function)
        if not self._core.done():
            self._worker._deadlines.watch(self, timeout, function)

    def future(self, timeout: Optional[float] = None) -> concurrent.futures.Future:
        """A future that gets `array`, or the error, as watch() does."""
        future: concurrent.futures.Future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def finish(error: Optional[Error]) -> None:
            try:
                if error is None:
                    future.set_result(self.array)
                else:
                    future.set_exception(error)
            except concurrent.futures.InvalidStateError:
                pass  # The deadline was first.

        self.watch(finish, timeout)
        return future

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self.future()).__await__()
