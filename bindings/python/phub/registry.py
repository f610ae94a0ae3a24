"""One table of tensors for everything in a process that uses the same Worker.

A Worker's tensors are registered all at once, by all ranks. What needs some (the hook, the
optimizer, averages, broadcasts) replaces its own group, and the whole table is agreed on anew.
"""
from __future__ import annotations

import weakref
from typing import Dict, List, Optional, Sequence

from phub.types import Tensor, TensorSpec
from phub.worker import Worker

_registries: "weakref.WeakKeyDictionary[Worker, Registry]" = weakref.WeakKeyDictionary()
_default: Optional[Worker] = None


def default_worker() -> Worker:
    """The process's Worker, connected as the environment says when it is first asked for."""
    global _default
    if _default is None or _default.is_closed:
        _default = Worker()
    return _default


class Registry:
    """The groups of one Worker. All ranks must change the same groups in the same order."""

    def __init__(self, worker: Worker):
        self._worker = weakref.ref(worker)
        self._groups: Dict[str, List[TensorSpec]] = {}
        self._counts: Dict[str, int] = {}

    def new_group(self, kind: str) -> str:
        """A name that no group has: "ddp0", "ddp1". The same on all ranks, as they ask in order."""
        number = self._counts[kind] = self._counts.get(kind, -1) + 1
        return f"{kind}{number}"

    def replace(self, group: str, specs: Sequence[TensorSpec]) -> List[Tensor]:
        """The group's tensors, in order. Blocks until all ranks have come here, unless nothing
        changes; waits for all operations of this rank first."""
        worker = self._worker()
        if self._groups.get(group) != list(specs):
            self._groups[group] = list(specs)
            worker.wait_all()
            worker.register_tensors([s for each in self._groups.values() for s in each])
        first = 0
        for name, each in self._groups.items():
            if name == group:
                break
            first += len(each)
        return worker.tensors[first:first + len(specs)]

    def find(self, tensor: Tensor) -> Tensor:
        """The tensor of this name now: other groups may have moved it."""
        tensors = self._worker().tensors
        if tensor.index < len(tensors) and tensors[tensor.index].spec is tensor.spec:
            return tensors[tensor.index]
        return next(t for t in tensors if t.spec.name == tensor.spec.name)


def registry_of(worker: Worker) -> Registry:
    """The one of this Worker."""
    found = _registries.get(worker)
    if found is None:
        found = _registries[worker] = Registry(worker)
    return found
