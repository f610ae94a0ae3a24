"""The collectives of a process group, each a function that every rank runs at the same time.

All tensors here are flat and contiguous. Everybody talks with everybody at once; sums are made in
the order of ranks, each element by one rank, so they are bit-identical everywhere and do not depend
on how the work was divided.
"""
from __future__ import annotations

import time
from typing import Callable, Iterator, List, Optional, Sequence

import torch

from phub.errors import Unavailable
from phub.torch.mesh import Mesh, Pending
from phub.torch.reductions import Reduction

_SMALL_BYTES = 16 << 10  # Up to here one exchange of everything is faster than two of parts.
# Of one all-reduce at a time: what lies between the ranks stays in caches, and is not new memory.
_SEGMENT_BYTES = 8 << 20
_ALIGN = 16              # Elements that a part starts at a multiple of.


class Exchange:
    """One collective under way: what was sent and received, and until when it may last."""

    def __init__(self, mesh: Mesh, number: int, name: str, timeout: float):
        self.mesh = mesh
        self.rank, self.size = mesh.rank, mesh.size
        self.others = [rank for rank in range(mesh.size) if rank != mesh.rank]
        self.what = f'{name} {number} of group "{mesh.name}"'
        self._tag = number << 24
        self._deadline = time.monotonic() + timeout
        self._pending: List[Pending] = []

    def next_step(self) -> None:
        """What follows has tags of its own; all ranks call it at the same places."""
        self._tag += 1

    def send(self, rank: int, memory: torch.Tensor) -> None:
        self._start(self.mesh.send, rank, memory)

    def receive(self, rank: int, memory: torch.Tensor) -> Pending:
        return self._start(self.mesh.receive, rank, memory)

    def _start(self, call: Callable[..., Pending], rank: int, memory: torch.Tensor) -> Pending:
        try:
            self._pending.append(call(rank, self._tag, memory))
        except Unavailable as error:
            raise self.mesh.blame(self.what, rank, error) from None
        return self._pending[-1]

    def wait(self, one: Pending) -> None:
        self.mesh.wait(self.what, [one], self._deadline, self._pending)

    def finish(self) -> None:
        """Waits for all, and begins the next step."""
        pending, self._pending = self._pending, []
        self.mesh.wait(self.what, pending, self._deadline)
        self.next_step()


def barrier(exchange: Exchange) -> None:
    word = torch.zeros(exchange.size, dtype=torch.uint8)
    for other in exchange.others:
        exchange.receive(other, word[other:other + 1])
    for other in exchange.others:
        exchange.send(other, word[exchange.rank:exchange.rank + 1])
    exchange.finish()


def parts_of(flat: torch.Tensor, size: int) -> List[torch.Tensor]:
    """One part for each rank; the last may be shorter, or empty."""
    length = -(-flat.numel() // size)
    length = -(-length // _ALIGN) * _ALIGN
    return [flat[min(rank * length, flat.numel()):min((rank + 1) * length, flat.numel())]
            for rank in range(size)]


def _reduced(exchange: Exchange, mine: Sequence[torch.Tensor],
             reduction: Reduction) -> torch.Tensor:
    """The reduction of every rank's mine[this rank], while mine[other] go to the others."""
    own = mine[exchange.rank]
    rows = torch.empty((exchange.size, own.numel()), dtype=own.dtype)
    arriving = {other: exchange.receive(other, rows[other]) for other in exchange.others}
    for shift in range(1, exchange.size):  # Not all to the same one first.
        other = (exchange.rank + shift) % exchange.size
        exchange.send(other, mine[other])

    def in_order() -> Iterator[torch.Tensor]:
        for rank in range(exchange.size):
            if rank != exchange.rank:
                exchange.wait(arriving[rank])
            yield own if rank == exchange.rank else rows[rank]

    total = reduction(in_order(), exchange.size)
    exchange.finish()
    return total


def all_reduce(exchange: Exchange, flat: torch.Tensor, reduction: Reduction) -> None:
    if exchange.size == 1:
        return
    if flat.nbytes <= _SMALL_BYTES:
        flat.copy_(_reduced(exchange, [flat] * exchange.size, reduction))
        return
    for segment in flat.split(_SEGMENT_BYTES // flat.itemsize):
        parts = parts_of(segment, exchange.size)
        parts[exchange.rank].copy_(_reduced(exchange, parts, reduction))
        _share(exchange, parts)


def _share(exchange: Exchange, parts: Sequence[torch.Tensor]) -> None:
    """Everybody gets everybody's part."""
    for other in exchange.others:
        exchange.receive(other, parts[other])
    for shift in range(1, exchange.size):
        exchange.send((exchange.rank + shift) % exchange.size, parts[exchange.rank])
    exchange.finish()


def reduce(exchange: Exchange, flat: torch.Tensor, root: int, reduction: Reduction) -> None:
    """The result lands at root; elsewhere `flat` stays as it is."""
    if exchange.size == 1:
        return
    parts = parts_of(flat, exchange.size)
    total = _reduced(exchange, parts, reduction).to(flat.dtype)
    gather(exchange, total, parts if exchange.rank == root else None, root)


def reduce_scatter(exchange: Exchange, output: torch.Tensor, inputs: Sequence[torch.Tensor],
                   reduction: Reduction) -> None:
    output.copy_(_reduced(exchange, inputs, reduction))


def broadcast(exchange: Exchange, flat: torch.Tensor, root: int) -> None:
    if flat.nbytes <= _SMALL_BYTES or exchange.size == 2:
        if exchange.rank != root:
            exchange.receive(root, flat)
        else:
            for other in exchange.others:
                exchange.send(other, flat)
        return exchange.finish()
    parts = parts_of(flat, exchange.size)  # Each rank hands its part on: root sends only once.
    scatter(exchange, parts[exchange.rank], parts if exchange.rank == root else None, root)
    _share(exchange, parts)


def scatter(exchange: Exchange, output: torch.Tensor, inputs: Optional[Sequence[torch.Tensor]],
            root: int) -> None:
    if inputs is None:
        exchange.receive(root, output)
    else:
        for other in exchange.others:
            exchange.send(other, inputs[other])
        _copy(output, inputs[root])
    exchange.finish()


def gather(exchange: Exchange, value: torch.Tensor, outputs: Optional[Sequence[torch.Tensor]],
           root: int) -> None:
    if outputs is None:
        exchange.send(root, value)
    else:
        for other in exchange.others:
            exchange.receive(other, outputs[other])
        _copy(outputs[root], value)
    exchange.finish()


def all_gather(exchange: Exchange, outputs: Sequence[torch.Tensor], value: torch.Tensor) -> None:
    all_to_all(exchange, outputs, [value] * exchange.size)


def all_to_all(exchange: Exchange, outputs: Sequence[torch.Tensor],
               inputs: Sequence[torch.Tensor]) -> None:
    for other in exchange.others:
        exchange.receive(other, outputs[other])
    for shift in range(1, exchange.size):
        other = (exchange.rank + shift) % exchange.size
        exchange.send(other, inputs[other])
    _copy(outputs[exchange.rank], inputs[exchange.rank])
    exchange.finish()


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    if target.data_ptr() != source.data_ptr():
        target.copy_(source)
