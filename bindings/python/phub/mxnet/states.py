"""The hub's optimizer state in a file: arrays and a line of JSON, in NumPy's npz."""
from __future__ import annotations

import io
import json
from typing import Dict

import mxnet as mx
import numpy as np

from phub.errors import InvalidArgument, NotFound
from phub.mxnet import pipe
from phub.mxnet.rule import Key
from phub.types import OptimizerKind, StateKind, Tensor
from phub.worker import Worker

_MOMENTS = {
    OptimizerKind.sgd: (),
    OptimizerKind.momentum: (StateKind.first_moment,),
    OptimizerKind.nesterov: (StateKind.first_moment,),
    OptimizerKind.adam: (StateKind.first_moment, StateKind.second_moment),
}


def save(path: str, worker: Worker, tensors: Dict[Key, Tensor], optimizer: mx.optimizer.Optimizer,
         with_rate: bool) -> None:
    """REQUIRES: no operation of this rank in flight."""
    steps = [worker.read_step_count(tensor) for tensor in tensors.values()]
    head = {"optimizer": type(optimizer).__name__.lower(), "keys": list(tensors), "steps": steps}
    if with_rate and optimizer.lr_scheduler is None:
        head["learning_rate"] = optimizer.lr
    content = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    for number, tensor in enumerate(tensors.values()):
        for kind in _MOMENTS[tensor.spec.optimizer.kind]:
            values = np.zeros(tensor.spec.count, np.float32)
            content[f"{number}.{kind.name}"] = worker.read_state(tensor, kind, values)
    with open(path, "wb") as file:
        np.savez(file, **content)


def load(path: str, worker: Worker, tensors: Dict[Key, Tensor],
         optimizer: mx.optimizer.Optimizer) -> None:
    """Rank 0's file to the hub. Collective."""
    data, error = b"", None
    if worker.rank == 0:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as problem:
            error = problem
    data = pipe.broadcast_bytes(worker, data)
    if not data:
        raise NotFound(f"optimizer states {path}: rank 0 could not read the file"
                       + (f": {error.strerror}" if error else "")) from error
    head, content = _parse(path, data, tensors, optimizer)
    if worker.rank == 0:
        for number, (tensor, steps) in enumerate(zip(tensors.values(), head["steps"])):
            for kind in _MOMENTS[tensor.spec.optimizer.kind]:
                worker.write_state(tensor, kind, content[f"{number}.{kind.name}"])
            worker.write_step_count(tensor, steps)
    worker.barrier()
    optimizer._index_update_count.update(zip(tensors, head["steps"]))
    optimizer.num_update = max([optimizer.begin_num_update, *head["steps"]])
    if optimizer.lr_scheduler is None and "learning_rate" in head:
        optimizer.lr = head["learning_rate"]


def _parse(path: str, data: bytes, tensors: Dict[Key, Tensor],
           optimizer: mx.optimizer.Optimizer) -> tuple:
    """What every rank finds in the same bytes, or the same error."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            content = dict(file)
        head = json.loads(content["head"].tobytes())
    except (ValueError, KeyError, OSError) as error:
        raise InvalidArgument(f"optimizer states {path}: not what save_optimizer_states writes: "
                              f"{error}") from error
    mine = type(optimizer).__name__.lower()
    if head["optimizer"] != mine:
        raise InvalidArgument(f"optimizer states {path}: of {head['optimizer']}; the hub has "
                              f"{mine}")
    if head["keys"] != list(tensors):
        raise InvalidArgument(f"optimizer states {path}: of keys {head['keys']}; the hub has "
                              f"{list(tensors)}")
    for number, (key, tensor) in enumerate(tensors.items()):
        for kind in _MOMENTS[tensor.spec.optimizer.kind]:
            values = content.get(f"{number}.{kind.name}", np.empty(0))
            if values.size != tensor.spec.count:
                raise InvalidArgument(f"optimizer states {path}: key {key!r} has {values.size} "
                                      f"numbers of {kind.name}; the hub has {tensor.spec.count}")
    return head, content
