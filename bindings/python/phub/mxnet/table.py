"""The keys of a store as the hub's tensors: gathered one by one, registered together."""
from __future__ import annotations

from typing import Dict, Iterable, List, Optional

import numpy as np

from phub.errors import FailedPrecondition, InvalidArgument
from phub.mxnet.arrays import NDArray
from phub.mxnet.rule import Key, Rule
from phub.operation import Operation
from phub.registry import registry_of
from phub.types import Optimizer, Tensor, TensorSpec
from phub.worker import Worker

_TYPES = ("float32", "float16", "float64", "int32", "int64")


class Entry:
    """What is known of a key."""

    def __init__(self, key: Key, order: int, like: NDArray):
        self.key = key
        self.shape = like.shape
        self.dtype = np.dtype(like.dtype)
        self.priority = -order  # By appearance, until a push names another.
        self.tensor: Optional[Tensor] = None
        self.initial: Optional[np.ndarray] = None  # Until the first push.
        self.push: Optional[Operation] = None      # Not pulled yet.
        self.result: Optional[np.ndarray] = None   # Of the last push; without an optimizer.

    def check(self, like: NDArray) -> None:
        if like.shape != self.shape or np.dtype(like.dtype) != self.dtype:
            raise InvalidArgument(f"key {self.key!r}: {np.dtype(like.dtype)} {like.shape}, was "
                                  f"{self.dtype} {self.shape}: a key keeps its type and shape")


class Table:
    """The keys of one store. All ranks must name the same ones in the same order."""

    def __init__(self, worker: Worker):
        self.rule: Optional[Rule] = None
        self.wire: Optional[np.dtype] = None
        self._worker = worker
        self._registry = registry_of(worker)
        self._group = self._registry.new_group("mxnet")
        self._entries: Dict[Key, Entry] = {}

    def entries(self) -> List[Entry]:
        return list(self._entries.values())

    @property
    def is_registered(self) -> bool:
        return any(entry.tensor is not None for entry in self._entries.values())

    def know(self, key: Key, like: NDArray) -> Entry:
        """The entry of a key, which begins with this if it is new."""
        if not isinstance(key, (int, str)):
            raise InvalidArgument(f"key {key!r}: {type(key).__name__}; want an int or a str")
        entry = self._entries.get(key)
        if entry is not None:
            entry.check(like)
            return entry
        if np.dtype(like.dtype).name not in _TYPES:
            raise InvalidArgument(f"key {key!r}: element type {np.dtype(like.dtype).name}; want "
                                  f"one of {', '.join(_TYPES)}")
        entry = self._entries[key] = Entry(key, len(self._entries), like)
        return entry

    def find(self, key: Key) -> Entry:
        entry = self._entries.get(key)
        if entry is None:
            raise FailedPrecondition(f"key {key!r}: unknown; broadcast or push it first")
        return entry

    def tensor(self, entry: Entry) -> Tensor:
        """The hub's tensor of a key. If it has none: all keys known by now are registered, which
        blocks until all ranks have come here."""
        if entry.tensor is None:
            self._register(entry)
        entry.tensor = self._registry.find(entry.tensor)
        return entry.tensor

    def wire_type(self, entry: Entry) -> np.dtype:
        """In which the elements travel."""
        return self.wire if self.wire and entry.dtype == np.float32 else entry.dtype

    def set_weights(self, entries: Iterable[Entry]) -> None:
        """Rank 0's initial values become the hub's weights."""
        started = []
        for entry in entries:
            data = entry.initial.astype(self.wire_type(entry))
            started.append((self._worker.broadcast(self.tensor(entry), data, 0), data))
        for operation, _ in started:
            operation.wait()

    def _register(self, wanted: Entry) -> None:
        entries = [e for e in self._entries.values()
                   if e is wanted or e.tensor or not self.rule or self.rule.is_trained(e.key)]
        new = [entry for entry in entries if entry.tensor is None]
        for entry in new:
            if self.rule and entry.initial is None:
                raise FailedPrecondition(f"key {entry.key!r}: the hub has no weights to step from; "
                                         "broadcast them before the first push")
        pending = [entry.key for entry in entries if entry.push]
        if pending:
            raise FailedPrecondition(f"key {wanted.key!r} is new, and keys {pending} were pushed "
                                     "and not pulled: pull them first")
        rules = {e.key: self.rule.for_key(e.key) if e.tensor is None else e.tensor.spec.optimizer
                 for e in entries} if self.rule else {}
        specs = [self._spec(e, rules.get(e.key)) for e in entries]
        for entry, tensor in zip(entries, self._registry.replace(self._group, specs)):
            entry.tensor = tensor
        if self.rule:
            self.set_weights(new)

    def _spec(self, entry: Entry, optimizer: Optional[Optimizer]) -> TensorSpec:
        if entry.tensor is not None:
            return entry.tensor.spec
        return TensorSpec(f"{self._group}.{entry.key}", int(np.prod(entry.shape, dtype=np.int64)),
                          self.wire_type(entry).type, "sum", optimizer or Optimizer(),
                          entry.priority)
