"""A communication hook for DistributedDataParallel: its buckets are averaged by the hub."""
# Without `from __future__ import annotations`: DDP reads the hook's.
from typing import List, Optional, Tuple

import torch
import torch.distributed as dist

from phub.errors import Error, InvalidArgument
from phub.registry import default_worker, registry_of
from phub.types import Tensor, TensorSpec, data_type
from phub.worker import Worker


class State:
    """What the hook needs from one backward pass to the next; one for each model.

    worker   None: the process's own, connected as the environment says
    wire     None: gradients travel as they are. "bf16" or "fp16": those of fp32 travel, and are
             handed back, in 16 bits; the hub adds them in fp32 and rounds once
    timeout  seconds for each bucket, after which backward() raises an error that names who is
             late; None: the worker's wait_timeout
    error    the phub.Error that ended a backward pass. (PyTorch hands it on as RuntimeError, with
             its sentence.)

    The first pass, and the first after DDP has rebuilt its buckets, registers them: their exchange
    starts with the last bucket. States must be made in the same order on all ranks.
    """

    def __init__(self, worker: Optional[Worker] = None, *, wire: Optional[str] = None,
                 timeout: Optional[float] = None):
        if wire not in (None, "bf16", "fp16"):
            raise InvalidArgument(f"wire {wire!r}; want None, \"bf16\" or \"fp16\"")
        self.worker = worker or default_worker()
        self.error: Optional[Error] = None
        self._timeout = timeout
        self._wire = None if wire is None else getattr(
            torch, {"bf16": "bfloat16", "fp16": "float16"}[wire])
        self._registry = registry_of(self.worker)
        self._group = self._registry.new_group("ddp")
        self._tensors: List[Tensor] = []
        self._results: List[torch.Tensor] = []
        self._held: List[Tuple[int, torch.Tensor, torch.futures.Future]] = []
        self._seen: List[TensorSpec] = []

    def _spec(self, index: int, buffer: torch.Tensor) -> TensorSpec:
        dtype = data_type(self._wire_type(buffer.dtype))
        count = buffer.numel()
        return TensorSpec(f"{self._group}.bucket{index}.{dtype.name}.{count}", count, dtype, "mean",
                          priority=index)

    def _wire_type(self, dtype: torch.dtype) -> torch.dtype:
        return self._wire if self._wire is not None and dtype == torch.float32 else dtype

    def _is_known(self, index: int, buffer: torch.Tensor) -> bool:
        if index >= len(self._tensors) or self._held:
            return False
        spec = self._tensors[index].spec
        return (spec.count == buffer.numel()
                and spec.dtype == data_type(self._wire_type(buffer.dtype)))

    def add(self, index: int, buffer: torch.Tensor, is_last: bool) -> torch.futures.Future:
        """Starts the exchange of a bucket, or holds it until the layout is known."""
        if index == 0:
            self._seen = []
        self._seen.append(self._spec(index, buffer))
        future: torch.futures.Future = torch.futures.Future()
        try:
            if self._is_known(index, buffer):
                self._start(index, buffer, future)
            else:
                self._held.append((index, buffer, future))
            if is_last and (self._held or len(self._seen) != len(self._tensors)):
                self._register()
        except Error as error:  # backward() raises it where it waits, as those of other buckets.
            self._fail(error, future)
        return future.then(_value)

    def _fail(self, error: Error, *futures: torch.futures.Future) -> None:
        self.error = self.error or error
        held, self._held = self._held, []
        for future in (*futures, *(held_future for _, _, held_future in held)):
            if not future.done():
                future.set_result((error, None, None))

    def _register(self) -> None:
        self._tensors = self._registry.replace(self._group, self._seen)
        while self._held:
            self._start(*self._held[0])
            del self._held[0]

    def _start(self, index: int, buffer: torch.Tensor, future: torch.futures.Future) -> None:
        tensor = self._tensors[index] = self._registry.find(self._tensors[index])
        result = torch.from_dlpack(self.worker.result(tensor))
        sent = buffer.detach().to(self._wire_type(buffer.dtype))
        operation = self.worker.push_pull(tensor, sent)

        def finish(error: Optional[Error]) -> None:
            try:
                if not future.done():
                    self.error = self.error or error
                    future.set_result((error, result, buffer.dtype))
            except RuntimeError:
                pass  # The deadline, on its own thread, was first.

        operation.watch(finish, self._timeout)


def _value(future: torch.futures.Future) -> torch.Tensor:
    error, result, dtype = future.value()
    if error is not None:
        raise error
    return result.to(dtype)


def hook(state: State, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """model.register_comm_hook(State(), hook): averages each bucket over all ranks at the hub.

    Buckets of float32, float16, bfloat16 and float64, on the CPU. What a backward pass raises names
    the rank that failed or is late. Works under DDP's no_sync() and join().
    """
    return state.add(bucket.index(), bucket.buffer(), bucket.is_last())
