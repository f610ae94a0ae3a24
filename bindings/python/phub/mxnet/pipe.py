"""Broadcasts from rank 0 at once, before all ranks have agreed on the tensors that they train."""
from __future__ import annotations

import numpy as np

from phub.registry import registry_of
from phub.types import TensorSpec
from phub.worker import Worker

_GROUP = "mxnet.pipe"
# What does not fill the largest goes through the smallest that holds it.
_WORDS = (1 << 10, 1 << 15, 1 << 20)


def broadcast(worker: Worker, values: np.ndarray) -> np.ndarray:
    """Rank 0's values, bit for bit, whatever their type; of the same type and shape everywhere."""
    specs = [TensorSpec(f"{_GROUP}.{words}", words, "int32") for words in _WORDS]
    tensors = registry_of(worker).replace(_GROUP, specs)
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    result = np.empty_like(data)
    begin = 0
    while begin < data.size:
        left = data.size - begin
        tensor = next((t for t in tensors if 4 * t.spec.count >= left), tensors[-1])
        piece = np.zeros(4 * tensor.spec.count, np.uint8)
        end = begin + min(left, piece.size)
        piece[:end - begin] = data[begin:end]
        worker.broadcast(tensor, piece.view(np.int32), 0).wait()
        result[begin:end] = piece[:end - begin]
        begin = end
    return result.view(values.dtype).reshape(values.shape)


def broadcast_bytes(worker: Worker, data: bytes) -> bytes:
    """Rank 0's, of any length."""
    size = int(broadcast(worker, np.array([len(data)], np.int64))[0])
    mine = np.zeros(size, np.uint8)
    if worker.rank == 0:
        mine[:] = np.frombuffer(data, np.uint8)
    return broadcast(worker, mine).tobytes()
