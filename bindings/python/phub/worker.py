"""The client: one training process's view of the hub."""
from __future__ import annotations

from types import TracebackType
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Type, Union

from phub import _core, lifetime
from phub.deadlines import Deadlines
from phub.operation import Operation
from phub.types import StateKind, Tensor, TensorSpec, _member, data_type


class Worker:
    """Joins a job at a hub; a context manager that leaves it.

    Returns when the hub has accepted this rank; the others are waited for in register_tensors.
    Arguments that are None come from the environment (`man phub`): PHUB_HUB, PHUB_JOB,
    PHUB_SECRET, ...; rank and size also from Open MPI's, torchrun's, Slurm's and ps-lite's.

    hub            shm://PATH, tcp://HOST:PORT, tls://, verbs://, dpdk://, or HOST:PORT
    rank, size     of this process, from 0; how many there are
    progress       who moves the bytes. "thread": a thread of the library. "caller": the threads
                   that wait; futures, await and callbacks then have nobody who completes them.
                   "auto", the default, is "thread" in Python.
    join_timeout   seconds for the hub to answer and for all ranks to join
    wait_timeout   seconds for every wait that names no other
    network        options of RDMA and DPDK devices, by name

    Any thread may call anything; operations on one tensor must not overlap. After a fork the child
    may not use it: every call raises FailedPrecondition there; connect again. What the hub ends
    (Aborted, Unavailable) ends the Worker: every later call raises that error.

    InvalidArgument: malformed address, job, rank or option. PermissionDenied: wrong secret or
    certificate. AlreadyExists: the rank is taken, or the job has another spec. Unavailable: no hub
    there. ResourceExhausted: the hub's limits. TimedOut: the hub did not answer.
    """

    def __init__(self, hub: Optional[str] = None, *, job: Optional[str] = None,
                 secret: Optional[str] = None, rank: Optional[int] = None,
                 size: Optional[int] = None, progress: Optional[str] = None,
                 join_timeout: Optional[float] = None, wait_timeout: Optional[float] = None,
                 chunk_elements: Optional[int] = None, tls_ca: Optional[str] = None,
                 tls_cert: Optional[str] = None, tls_key: Optional[str] = None,
                 network: Optional[Mapping[str, str]] = None):
        self._core = _core.connect(
            hub=hub, job=job, secret=secret, rank=rank, size=size, progress=progress,
            join_timeout=join_timeout, wait_timeout=wait_timeout, chunk_elements=chunk_elements,
            tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key,
            network=None if network is None else dict(network))
        self.tensors: List[Tensor] = []
        self._results: List[Any] = []
        self._deadlines = Deadlines(self._core.wait_timeout)
        lifetime.track(self)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    @property
    def rank(self) -> int:
        """This process's, from 0."""
        return self._core.rank

    @property
    def size(self) -> int:
        """How many ranks the job has."""
        return self._core.size

    @property
    def is_closed(self) -> bool:
        """Whether close() was called, or this process is a fork of the one that connected."""
        return self._core.is_closed or self._core.is_foreign

    @property
    def hub_address(self) -> str:
        """The address in use; where it was chosen, with the reason."""
        return self._core.hub_address

    def allocate(self, shape: Union[int, Sequence[int]], dtype: Any = "fp32") -> Any:
        """Zeroed, 64-byte aligned memory that the hub reads and writes in place: no copies.

        Returns an array with DLPack and the buffer protocol: np.asarray(it), or
        torch.from_dlpack(it). It stays good as long as anybody uses it, also after close(). What is
        allocated after register_tensors counts from the next register_tensors on.
        ResourceExhausted: the operating system refused.
        """
        sizes = [shape] if isinstance(shape, int) else list(shape)
        return self._core.allocate(sizes, int(data_type(dtype)))

    def register_tensors(self, specs: Iterable[TensorSpec],
                         results: Sequence[Any] = ()) -> List[Tensor]:
        """Agrees with all ranks on every tensor of the job, in the same order on every rank.

        Blocks until all ranks have called it. Calling it again starts a new epoch: tensors known
        from the one before, by name and number, keep the hub's state. REQUIRES: no operation in
        flight.
        results: for each tensor where its results land: an array from allocate() of spec.count
        elements, or None: the library allocates it; result() shows it.
        InvalidArgument: ranks disagree: names the rank, the tensor and both values. TimedOut:
        names the missing ranks. ResourceExhausted: the hub's memory limit.
        """
        table = list(specs)
        self._core.register_tensors([spec._tuple() for spec in table], list(results))
        self.tensors = [Tensor(index, spec) for index, spec in enumerate(table)]
        self._results = [self._core.result(tensor.index) for tensor in self.tensors]
        return self.tensors

    def result(self, tensor: Tensor) -> Any:
        """The array of tensor.spec.count elements where results of the tensor land."""
        return self._results[tensor.index]

    def push_pull(self, tensor: Tensor, gradient: Any, out: Any = None) -> Operation:
        """Starts one round: pushes this rank's gradient and asks for the result.

        gradient  [count] elements of the tensor's type: any C-contiguous array in CPU memory with
                  DLPack or the buffer protocol, of any shape. Read until the operation ends.
        out       [count], writable, may be the gradient; None: result(tensor).
        In memory from allocate(), and at result(tensor), nothing is copied.
        InvalidArgument: another type or count. FailedPrecondition: the tensor's last operation has
        not ended.
        """
        core = self._core.push_pull(tensor.index, gradient, out)
        return Operation(core, self, tensor, self._results[tensor.index] if out is None else out)

    def push(self, tensor: Tensor, gradient: Any) -> Operation:
        """As push_pull, but the result stays at the hub's disposal until pull() asks for it."""
        return Operation(self._core.push(tensor.index, gradient), self, tensor, None)

    def pull(self, tensor: Tensor, out: Any = None) -> Operation:
        """After push: the result of that round. Otherwise: the weights that the hub holds now.

        FailedPrecondition: nothing was pushed and the hub holds no weights of this tensor.
        """
        core = self._core.pull(tensor.index, out)
        return Operation(core, self, tensor, self._results[tensor.index] if out is None else out)

    def broadcast(self, tensor: Tensor, data: Any, root: int = 0) -> Operation:
        """Starts one round in which every rank gets root's data, [count] elements, in place.

        If the tensor has an optimizer, the data becomes the hub's weights. Name the same root on
        every rank. Aborted, for all: no rank, or several, named themselves.
        """
        return Operation(self._core.broadcast(tensor.index, data, root), self, tensor, data)

    def wait_all(self, timeout: Optional[float] = None) -> None:
        """Waits for all operations started so far; raises the first failure."""
        self._core.wait_all(timeout)

    def poll(self) -> None:
        """Moves what can be moved now, without blocking. Needed with progress="caller" only."""
        self._core.poll()

    def barrier(self, timeout: Optional[float] = None) -> None:
        """Returns when every rank has called it. TimedOut: names who has not."""
        self._core.barrier(timeout)

    def set_step(self, learning_rate: float, gradient_scale: float = 1.0,
                 skip: bool = False) -> None:
        """Rank 0 only: settings for every round that rank 0 starts after this call.

        learning_rate: of every tensor, in place of its own. gradient_scale: the reduced gradient is
        multiplied by it first. skip: weights and state stay as they are. PermissionDenied: not rank
        0.
        """
        self._core.set_step(learning_rate, gradient_scale, skip)

    def read_state(self, tensor: Tensor, kind: Union[StateKind, str], out: Any) -> Any:
        """Copies the hub's state of a tensor into `out`, [count] of float32; returns it.

        REQUIRES: no operation of this rank on the tensor in flight. FailedPrecondition: the tensor
        has no such state.
        """
        self._core.read_state(tensor.index, int(_member(StateKind, kind, "state")), out)
        return out

    def write_state(self, tensor: Tensor, kind: Union[StateKind, str], values: Any) -> None:
        """Copies `values`, [count] of float32, into the hub's state of a tensor.

        REQUIRES: no operation of any rank on the tensor in flight.
        """
        self._core.write_state(tensor.index, int(_member(StateKind, kind, "state")), values)

    def read_step_count(self, tensor: Tensor) -> int:
        """Steps that the tensor's optimizer has taken (Adam's t)."""
        return self._core.read_step_count(tensor.index)

    def write_step_count(self, tensor: Tensor, count: int) -> None:
        self._core.write_step_count(tensor.index, count)

    def stats(self) -> Dict[str, int]:
        """pushed_bytes, pulled_bytes, copied_bytes and rounds so far."""
        return self._core.stats()

    def leave(self) -> None:
        """Waits for this rank's operations, then leaves: the others go on without it.

        From the next round of each tensor on, mean divides by those who contribute. Afterwards only
        close() is allowed.
        """
        self._core.leave()

    def close(self) -> None:
        """Leaves if nothing failed, waiting a second at most, and lets the connection go.

        Arrays from allocate() and result() stay good. Closing twice is allowed.
        """
        if self._core.is_foreign:
            return
        lifetime.forget(self)
        self._deadlines.close()
        self._results = []
        self._core.close()
