"""The c10d backend: torch.distributed.init_process_group("phub"), after `import phub.torch`."""
from __future__ import annotations

import atexit
import weakref
from datetime import timedelta
from typing import Any, Callable, List, Optional, Sequence

import torch
import torch.distributed as dist

from phub.errors import Error, InvalidArgument, Unavailable
from phub.messenger import ANY_PEER
from phub.torch import collectives
from phub.torch.collectives import Exchange
from phub.torch.flat import Flat
from phub.torch.mesh import Mesh
from phub.torch.reductions import Reduction
from phub.torch.works import Lane, Watch, Work, seconds_of

_CLOSE_SECONDS = 2.0
_SINGLE = 1 << 63  # Tags of single sends and receives.

_groups: "weakref.WeakSet[ProcessGroup]" = weakref.WeakSet()

Tensors = List[torch.Tensor]


class ProcessGroup(dist.ProcessGroup):
    """All ranks of a group, each connected with each; tensors on the CPU, of any type.

    Collectives are carried out in the order of their calls, on a thread of the group; sends and
    receives start at once. What fails or is late fails the group: its errors name the rank that is
    to blame. Collectives must be called in the same order on all ranks.
    """

    def __init__(self, store: Any, rank: int, global_ranks: Sequence[int], name: str,
                 timeout: timedelta):
        super().__init__(rank, len(global_ranks))
        self._name = name
        self._timeout = timeout.total_seconds()
        self._mesh = Mesh(store, rank, global_ranks, name, self._timeout)
        self._lane = Lane(self._mesh)
        self._watch = Watch(self._mesh)
        self._number = 0
        self._coalesced: Optional[List[Work]] = None
        _groups.add(self)

    # What torch asks a group about itself.

    def getBackendName(self) -> str:
        return "phub"

    name = getBackendName

    def getGroupName(self) -> str:
        return self._name

    @property
    def group_name(self) -> str:
        return self._name

    @property
    def _device_types(self) -> List[torch.device]:
        return [torch.device("cpu")]

    @property
    def supports_splitting(self) -> bool:
        return False

    supports_coalescing = supports_time_estimate = supports_splitting

    def _get_backend(self, device: torch.device) -> ProcessGroup:
        return self

    def _set_sequence_number_for_group(self) -> None:
        pass

    def _get_sequence_number_for_group(self) -> int:
        return self._number

    def set_timeout(self, timeout: timedelta) -> None:
        self._timeout = timeout.total_seconds()

    _set_default_timeout = set_timeout

    def shutdown(self) -> None:
        """Ends when all calls are done, or, with an error for them, after 2 s; then leaves."""
        _groups.discard(self)
        self._watch.close()
        self._lane.close(_CLOSE_SECONDS)
        self._mesh.close()

    abort = shutdown

    # Collectives.

    def _start(self, name: str, results: Tensors, options: Any,
               function: Callable[[Exchange], None]) -> Work:
        """function(exchange) on the group's thread."""
        number, self._number = self._number, self._number + 1
        timeout = seconds_of(options, self._timeout)
        work = Work(f'{name} {number} of group "{self._name}"', results)
        self._lane.add(work, lambda: function(Exchange(self._mesh, number, name, timeout)))
        if self._coalesced is not None:
            self._coalesced.append(work)
        return work

    def _start_coalescing(self, device: torch.device) -> None:
        self._coalesced = []

    def _end_coalescing(self, device: torch.device) -> Work:
        """A work that ends with the last of those that were started since."""
        works, self._coalesced = self._coalesced or [], None
        return self._start("coalesced", [t for work in works for t in work.result()], None,
                           lambda exchange: None)

    def barrier(self, opts: Any = None) -> Work:
        return self._start("barrier", [], opts, collectives.barrier)

    def broadcast(self, tensors: Tensors, opts: Any) -> Work:
        def run(exchange: Exchange) -> None:
            for tensor in tensors:
                flat = Flat(tensor)
                collectives.broadcast(exchange, flat.memory, opts.rootRank)
                flat.write_back()
        return self._start("broadcast", tensors, opts, run)

    def allreduce(self, tensors: Tensors, opts: Any = None) -> Work:
        op = dist.ReduceOp.SUM if opts is None else opts.reduceOp
        reductions = [Reduction(op, tensor.dtype) for tensor in tensors]

        def run(exchange: Exchange) -> None:
            for tensor, reduction in zip(tensors, reductions):
                flat = Flat(tensor)
                collectives.all_reduce(exchange, flat.memory, reduction)
                flat.write_back()
        return self._start("all_reduce", tensors, opts, run)

    allreduce_coalesced = allreduce

    def reduce(self, tensors: Tensors, opts: Any) -> Work:
        reductions = [Reduction(opts.reduceOp, tensor.dtype) for tensor in tensors]

        def run(exchange: Exchange) -> None:
            for tensor, reduction in zip(tensors, reductions):
                flat = Flat(tensor)
                collectives.reduce(exchange, flat.memory, opts.rootRank, reduction)
                flat.write_back()
        return self._start("reduce", tensors, opts, run)

    def allgather(self, outputs: List[Tensors], inputs: Tensors, opts: Any = None) -> Work:
        def run(exchange: Exchange) -> None:
            for row, value in zip(outputs, inputs):
                flats = [Flat(tensor) for tensor in row]
                collectives.all_gather(exchange, [f.memory for f in flats], Flat(value).memory)
                for flat in flats:
                    flat.write_back()
        return self._start("all_gather", [t for row in outputs for t in row], opts, run)

    def allgather_coalesced(self, outputs: List[Tensors], inputs: Tensors,
                            opts: Any = None) -> Work:
        return self.allgather(outputs, inputs, opts)

    def all_gather_single_coalesced(self, outputs: Tensors, inputs: Tensors,
                                    opts: Any = None) -> Work:
        self._check_multiples("all_gather_into_tensor", outputs, inputs)

        def run(exchange: Exchange) -> None:
            for output, value in zip(outputs, inputs):
                flat = Flat(output)
                collectives.all_gather(exchange, flat.memory.chunk(exchange.size),
                                       Flat(value).memory)
                flat.write_back()
        return self._start("all_gather_into_tensor", outputs, opts, run)

    def all_gather_single(self, output: torch.Tensor, value: torch.Tensor,
                          opts: Any = None) -> Work:
        return self.all_gather_single_coalesced([output], [value], opts)

    def reduce_scatter(self, outputs: Tensors, inputs: List[Tensors], opts: Any = None) -> Work:
        op = dist.ReduceOp.SUM if opts is None else opts.reduceOp
        reductions = [Reduction(op, output.dtype) for output in outputs]

        def run(exchange: Exchange) -> None:
            for output, row, reduction in zip(outputs, inputs, reductions):
                flat = Flat(output)
                collectives.reduce_scatter(exchange, flat.memory,
                                           [Flat(tensor).memory for tensor in row], reduction)
                flat.write_back()
        return self._start("reduce_scatter", outputs, opts, run)

    def reduce_scatter_single_coalesced(self, outputs: Tensors, inputs: Tensors,
                                        opts: Any = None) -> Work:
        self._check_multiples("reduce_scatter_tensor", inputs, outputs)
        rows = [list(Flat(value).memory.chunk(self.size())) for value in inputs]
        return self.reduce_scatter(outputs, rows, opts)

    def reduce_scatter_single(self, output: torch.Tensor, value: torch.Tensor,
                              opts: Any = None) -> Work:
        return self.reduce_scatter_single_coalesced([output], [value], opts)

    def _check_multiples(self, name: str, large: Tensors, small: Tensors) -> None:
        for whole, part in zip(large, small):
            if whole.numel() != part.numel() * self.size() or whole.dtype != part.dtype:
                raise InvalidArgument(
                    f"{name}: {whole.numel()} elements of {whole.dtype} for {self.size()} ranks "
                    f"with {part.numel()} of {part.dtype} each")

    def gather(self, outputs: List[Tensors], inputs: Tensors, opts: Any) -> Work:
        def run(exchange: Exchange) -> None:
            flats = [Flat(tensor) for tensor in outputs[0]] if outputs else []
            collectives.gather(exchange, Flat(inputs[0]).memory,
                               [f.memory for f in flats] or None, opts.rootRank)
            for flat in flats:
                flat.write_back()
        return self._start("gather", list(outputs[0]) if outputs else [], opts, run)

    def scatter(self, outputs: Tensors, inputs: List[Tensors], opts: Any) -> Work:
        def run(exchange: Exchange) -> None:
            flat = Flat(outputs[0])
            row = [Flat(tensor).memory for tensor in inputs[0]] if inputs else None
            collectives.scatter(exchange, flat.memory, row, opts.rootRank)
            flat.write_back()
        return self._start("scatter", outputs, opts, run)

    def alltoall(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> Work:
        def run(exchange: Exchange) -> None:
            flats = [Flat(tensor) for tensor in outputs]
            collectives.all_to_all(exchange, [f.memory for f in flats],
                                   [Flat(tensor).memory for tensor in inputs])
            for flat in flats:
                flat.write_back()
        return self._start("all_to_all", outputs, opts, run)

    def all_to_all_single(self, output: torch.Tensor, value: torch.Tensor,
                          output_sizes: List[int], input_sizes: List[int],
                          opts: Any = None) -> Work:
        def rows(tensor: torch.Tensor, sizes: List[int]) -> Tensors:
            return list(tensor.split(sizes) if sizes else tensor.chunk(self.size()))
        for tensor, sizes in ((output, output_sizes), (value, input_sizes)):
            length = tensor.size(0) if tensor.dim() else 0
            if (sum(sizes) != length if sizes else length % self.size() != 0):
                raise InvalidArgument(f"all_to_all_single: {length} rows for {self.size()} ranks; "
                                      f"sizes: {list(sizes)}")

        def run(exchange: Exchange) -> None:
            flat = Flat(output)
            shaped = flat.memory.view(output.shape)
            inputs = rows(Flat(value).memory.view(value.shape), input_sizes)
            collectives.all_to_all(exchange, [r.view(-1) for r in rows(shaped, output_sizes)],
                                   [r.view(-1) for r in inputs])
            flat.write_back()
        return self._start("all_to_all_single", [output], opts, run)

    # As torch 2.11 and 2.12 call them.
    _allgather_base = all_gather_single
    allgather_into_tensor_coalesced = all_gather_single_coalesced
    _reduce_scatter_base = reduce_scatter_single
    reduce_scatter_tensor_coalesced = reduce_scatter_single_coalesced
    alltoall_base = all_to_all_single

    # Single sends and receives.

    def send(self, tensors: Tensors, dst: int, tag: int = 0) -> Work:
        what = f'send to {self._mesh.global_ranks[dst]}, tag {tag}, of group "{self._name}"'
        flat = Flat(tensors[0])
        return self._single(what, dst, tensors, flat,
                            lambda: self._mesh.send(dst, _SINGLE | tag, flat.memory))

    def recv(self, tensors: Tensors, src: int, tag: int = 0) -> Work:
        what = f'receive from {self._mesh.global_ranks[src]}, tag {tag}, of group "{self._name}"'
        flat = Flat(tensors[0])
        return self._single(what, src, tensors, flat,
                            lambda: self._mesh.receive(src, _SINGLE | tag, flat.memory))

    def recv_anysource(self, tensors: Tensors, tag: int = 0) -> Work:
        what = f'receive from any rank, tag {tag}, of group "{self._name}"'
        flat = Flat(tensors[0])
        return self._single(what, ANY_PEER, tensors, flat,
                            lambda: self._mesh.receive(ANY_PEER, _SINGLE | tag, flat.memory))

    def _single(self, what: str, rank: int, tensors: Tensors, flat: Flat, start: Any) -> Work:
        work = Work(what, tensors)
        self._lane.check_process(what)
        self._mesh.check(what)
        try:
            pending = start()
        except Unavailable as error:
            raise self._mesh.blame(what, rank, error) from None
        self._watch.add(work, pending, self._timeout)

        def finish(error: Optional[Error]) -> None:
            self._watch.forget(work)
            if error is None:
                error = self._mesh.error_of_size(what, pending)
            elif work.reason is None:
                error = self._mesh.blame(what, rank, error, grace=0)
            if error is None and pending[2] is not None:
                flat.write_back()
            work.finish(error, self._mesh.source_of(pending))

        pending[1].call_when_done(finish)
        return work


def _make(options: Any, backend_options: Any) -> ProcessGroup:
    ranks = list(options.global_ranks_in_group) or list(range(options.group_size))
    return ProcessGroup(options.store, options.group_rank, ranks, options.group_id,
                        options.timeout)


def _close_all() -> None:
    for group in list(_groups):
        group.shutdown()


def register() -> None:
    """Makes "phub" known to torch.distributed."""
    dist.Backend.register_backend("phub", _make, extended_api=True, devices=["cpu"])
    atexit.register(_close_all)
