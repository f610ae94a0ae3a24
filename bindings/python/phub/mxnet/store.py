"""mx.kv.create("phub"): MXNet's key-value store with a hub in the place of its servers."""
from __future__ import annotations

import types
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
from mxnet.kvstore import KVStoreBase

from phub.errors import FailedPrecondition, InvalidArgument, Unimplemented
from phub.mxnet import arrays, pipe, states
from phub.mxnet.arrays import NDArray
from phub.mxnet.rule import Key, Rule
from phub.mxnet.table import Entry, Table
from phub.operation import Operation
from phub.registry import default_worker


class _Exchange(NamedTuple):
    """A push and pull on its way, with what has to live until its end."""
    entry: Entry
    operation: Operation
    source: Any
    out: List[NDArray]


class PHub(KVStoreBase):
    """A hub as MXNet's key-value store; connects as the environment says (PHUB_HUB, ...).

    Every rank uses the same keys in the same order. Values are summed over the devices of a rank,
    then over ranks, in the order of ranks. What goes to `out` is there when the call returns; in a
    Trainer's step with the optimizer at the hub, when that of its last parameter does.
    Dense arrays of float32, float16, float64, int32 and int64. Keys may be lists.

    key's priority: the larger goes first where several wait. Taken from the first push; where that
    names another key, in the order in which keys were broadcast.

    Errors are phub.Error; a rank that failed or is late is named. Nothing waits without a deadline
    (PHUB_WAIT_TIMEOUT_MS).
    """

    def __init__(self) -> None:
        self._worker = default_worker()
        self._table = Table(self._worker)
        self._pending: Dict[Key, _Exchange] = {}
        self._last_key: Optional[Key] = None

    @property
    def type(self) -> str:
        """Without "dist" in it, as gluon's Trainer then lets batch sizes change, and parameters be
        set while it trains: the hub can do with both."""
        return "phub"

    @property
    def rank(self) -> int:
        return self._worker.rank

    @property
    def num_workers(self) -> int:
        return self._worker.size

    @staticmethod
    def is_capable(capability: str) -> bool:
        if capability.lower() == KVStoreBase.OPTIMIZER:
            return True
        raise ValueError(f"capability {capability!r}; MXNet knows {KVStoreBase.OPTIMIZER!r} only")

    def barrier(self) -> None:
        """Returns when every rank has called it."""
        self._finish()
        self._worker.barrier()

    _barrier = barrier

    def init(self, key: Any, value: Any) -> None:
        """As broadcast, without `out`."""
        self.broadcast(key, value)

    def broadcast(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """Rank 0's value becomes the key's, on all ranks, and the `out` of each device. With an
        optimizer, the hub steps from there."""
        self._finish()
        for each, given, to in _items(key, value, out):
            source = arrays.copies(given, f"broadcast key {each!r}")[0]
            entry = self._table.know(each, source)
            entry.initial = pipe.broadcast(self._worker, arrays.copied(source))
            if self._table.rule and entry.tensor is not None:
                self._table.set_weights([entry])
            if to is not None:
                arrays.fill(arrays.copies(to, f"broadcast key {each!r}, out"), entry.initial)

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """The sum over devices and ranks, or with an optimizer the new weights, to `out`, or to
        `value` where that is None."""
        is_several = isinstance(key, (list, tuple))
        for each, given, to in _items(key, value, out):
            if each in self._pending:
                self._finish()
            if not self._pending:
                self._last_key = self._table.rule and self._table.rule.last_key(
                    [entry.key for entry in self._table.entries()])
            every = arrays.copies(given, f"pushpull key {each!r}")
            targets = every if to is None else arrays.copies(to, f"pushpull key {each!r}, out")
            entry = self._table.know(each, every[0])
            entry.check(targets[0])
            source = arrays.add(every)
            values = self._outgoing(entry, arrays.memory(source), priority)
            operation = self._worker.push_pull(entry.tensor, values)
            self._pending[each] = _Exchange(entry, operation, (source, values), targets)
            is_last = self._last_key is None or each not in self._table.rule.optimizer.param_dict \
                or each == self._last_key or to is None
            if is_last and not is_several:
                self._finish()
        if is_several:
            self._finish()

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        """pushpull's first half. Returns at once."""
        self._finish()
        for each, given, _ in _items(key, value, None):
            every = arrays.copies(given, f"push key {each!r}")
            entry = self._table.know(each, every[0])
            if entry.push:
                self._pull(entry)  # Its sum is superseded, as at MXNet's servers.
            values = self._outgoing(entry, arrays.copied(arrays.add(every)), priority)
            entry.push = self._worker.push(entry.tensor, values)

    def pull(self, key: Any, out: Any = None, priority: int = 0,
             ignore_sparse: bool = True) -> None:
        """The result of the last push; before one, what was broadcast; with an optimizer, the
        weights."""
        self._finish()
        for each, _, to in _items(key, None, out):
            targets = arrays.copies(to, f"pull key {each!r}, out")
            entry = self._table.find(each)
            entry.check(targets[0])
            arrays.fill(targets, self._pull(entry))

    def row_sparse_pull(self, key: Any, out: Any = None, priority: int = 0,
                        row_ids: Any = None) -> None:
        raise Unimplemented(f"row_sparse_pull key {key!r}: the hub adds dense arrays: leave "
                            "grad_stype and stype at \"default\"")

    def set_gradient_compression(self, compression_params: Mapping[str, Any]) -> None:
        """{"type": "fp16"}: float32 travels, and is handed back, in 16 bits; the hub adds in
        float32 and rounds once. {"type": "none"}: as it is."""
        kind = compression_params.get("type")
        if kind not in ("none", "fp16") or len(compression_params) > 1:
            raise Unimplemented(f"gradient compression {dict(compression_params)}: the hub has "
                                "{'type': 'fp16'} and {'type': 'none'}")
        if self._table.is_registered:
            raise FailedPrecondition("gradient compression: keys have been pushed already; set it "
                                     "before the first push")
        self._refuse_both(kind == "fp16", self._table.rule)
        self._table.wire = np.dtype(np.float16) if kind == "fp16" else None

    def set_optimizer(self, optimizer: Any) -> None:
        """The hub steps as this optimizer does: sgd, nag or adam, by name and numbers.

        Its learning rate (or scheduler) and rescale_grad are looked at in every step, on rank 0.
        """
        rule = Rule(optimizer)
        self._refuse_both(self._table.wire is not None, rule)
        if self._table.is_registered:
            if not self._table.rule or not self._table.rule.same_as(optimizer):
                raise FailedPrecondition("set_optimizer: keys have been pushed already, without it "
                                         "or with another; set it before the first push")
            self._table.rule.optimizer = optimizer
        else:
            self._table.rule = rule

    def save_optimizer_states(self, fname: str, dump_optimizer: bool = False) -> None:
        """Writes the hub's state of all keys to a file, of any rank. No pickle: arrays (NumPy's
        npz). dump_optimizer: with the learning rate."""
        rule, entries = self._trained("save_optimizer_states")
        tensors = {entry.key: self._table.tensor(entry) for entry in entries}
        states.save(fname, self._worker, tensors, rule.optimizer, dump_optimizer)

    def load_optimizer_states(self, fname: str) -> None:
        """Rank 0's file becomes the hub's state. Collective; the others need no file."""
        rule, entries = self._trained("load_optimizer_states")
        tensors = {entry.key: self._table.tensor(entry) for entry in entries}
        states.load(fname, self._worker, tensors, rule.optimizer)

    @property
    def _updater(self) -> Any:
        """gluon.Trainer.load_states takes the optimizer from here."""
        return types.SimpleNamespace(optimizer=self._table.rule and self._table.rule.optimizer)

    def _trained(self, what: str) -> Tuple[Rule, List[Entry]]:
        self._finish()
        rule = self._table.rule
        if rule is None:
            raise FailedPrecondition(f"{what}: no optimizer at the hub; call set_optimizer first")
        return rule, [e for e in self._table.entries() if rule.is_trained(e.key)]

    def _outgoing(self, entry: Entry, values: np.ndarray, priority: int) -> np.ndarray:
        """The values as they travel; the key is registered afterwards."""
        if entry.tensor is None and priority:
            entry.priority = priority
        self._table.tensor(entry)
        entry.initial = None
        if self._table.rule:
            self._table.rule.before_push(self._worker, entry.key)
        return values.astype(self._table.wire_type(entry), copy=False)

    def _pull(self, entry: Entry) -> np.ndarray:
        if entry.push:
            entry.push.wait()
            entry.push = None
            entry.result = np.asarray(self._worker.pull(self._table.tensor(entry)).wait())
            return entry.result
        if entry.initial is not None:
            return entry.initial
        if self._table.rule:
            return np.asarray(self._worker.pull(self._table.tensor(entry)).wait())
        if entry.result is None:
            raise FailedPrecondition(f"key {entry.key!r}: nothing to pull: its push failed")
        return entry.result

    def _finish(self) -> None:
        """Waits for what is on its way."""
        pending, self._pending = self._pending, {}
        for exchange in pending.values():
            result = np.asarray(exchange.operation.wait())
            exchange.entry.result = None if self._table.rule else result
            arrays.fill(exchange.out, result)

    @staticmethod
    def _refuse_both(is_compressed: bool, rule: Optional[Rule]) -> None:
        if is_compressed and rule:
            raise Unimplemented("gradient compression fp16 with the optimizer at the hub: weights "
                                "would come back in 16 bits, too; let each worker take the step: "
                                "update_on_kvstore=False")


def _items(key: Any, value: Any, out: Any) -> Iterator[Tuple[Key, Any, Any]]:
    """One for each key."""
    if not isinstance(key, (list, tuple)):
        yield key, value, out
        return
    values = [None] * len(key) if value is None else value
    outs = [None] * len(key) if out is None else out
    if len(values) != len(key) or len(outs) != len(key):
        raise InvalidArgument(f"{len(key)} keys with {len(values)} values and {len(outs)} outs")
    yield from zip(key, values, outs)


KVStoreBase.register(PHub)
# As a name, a Trainer with one device takes only stores that have "dist" in theirs.
KVStoreBase.kv_registry["dist_phub"] = PHub
