"""What a trainer and a hub agree on: element types, reductions, optimizers, tensors.

The same as <phub/types.h>. Wherever a DataType is wanted, its name, a NumPy type or a torch type
will do: "fp32", np.float32, torch.bfloat16.
"""
from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Union

from phub.errors import InvalidArgument


class DataType(enum.IntEnum):
    """Element types. Sums of fp16 and bf16 are taken in fp32 and rounded once."""
    fp32 = 0
    fp16 = 1
    bf16 = 2
    fp64 = 3
    int32 = 4
    int64 = 5

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return (4, 2, 2, 8, 4, 8)[self]


class ReduceOp(enum.IntEnum):
    """How the ranks' contributions become one, in the order of ranks."""
    sum = 0
    mean = 1
    min = 2
    max = 3
    product = 4


class OptimizerKind(enum.IntEnum):
    """What the hub does with the reduced gradient; none: it hands out the reduction itself."""
    none = 0
    sgd = 1
    momentum = 2
    nesterov = 3
    adam = 4
    adamw = 5


class StateKind(enum.IntEnum):
    """Which of the hub's float32 state of a tensor."""
    weights = 0
    first_moment = 1
    second_moment = 2


_TYPE_NAMES = {
    "float32": "fp32", "float": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16",
    "float64": "fp64", "double": "fp64", "int": "int32", "long": "int64",
}


def data_type(given: Any) -> DataType:
    """A DataType from its name or from a type of NumPy or torch; InvalidArgument otherwise."""
    if isinstance(given, DataType):
        return given
    name = given if isinstance(given, str) else getattr(given, "__name__", None) or str(given)
    name = name.rpartition(".")[2]
    try:
        return DataType[_TYPE_NAMES.get(name, name)]
    except KeyError:
        wanted = ", ".join(t.name for t in DataType)
        raise InvalidArgument(f"element type {given!r} is none of PHub's: {wanted}") from None


def _member(kind: type, given: Any, what: str) -> Any:
    if isinstance(given, kind):
        return given
    try:
        return kind[given]
    except KeyError:
        wanted = ", ".join(member.name for member in kind)
        raise InvalidArgument(f"{what} {given!r} is none of {wanted}") from None


@dataclass(frozen=True)
class Optimizer:
    """The hub's optimizer for a tensor: formulas as in PyTorch's SGD, Adam and AdamW.

    With one, the hub keeps float32 weights and hands out the new weights. clip_global_norm > 0
    scales all gradients of a step to at most this 2-norm; a step is then taken when all tensors
    that clip have been pushed by all ranks.
    """
    kind: Union[OptimizerKind, str] = OptimizerKind.none
    learning_rate: float = 0.01
    momentum: float = 0.9
    dampening: float = 0.0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_global_norm: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _member(OptimizerKind, self.kind, "optimizer"))

    def _tuple(self) -> tuple:
        return (int(self.kind), self.learning_rate, self.momentum, self.dampening,
                self.weight_decay, self.beta1, self.beta2, self.epsilon, self.clip_global_norm)


@dataclass(frozen=True)
class TensorSpec:
    """One tensor as a trainer registers it: the same table, in the same order, on every rank.

    name      for messages and metrics; unique in the job; at most 200 bytes
    count     elements, at least 1
    dtype     a DataType, or what data_type() understands
    op        a ReduceOp, or its name
    priority  when chunks queue up, the larger goes first: give it to front layers
    """
    name: str
    count: int
    dtype: Any = DataType.fp32
    op: Union[ReduceOp, str] = ReduceOp.sum
    optimizer: Optimizer = field(default_factory=Optimizer)
    priority: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", data_type(self.dtype))
        object.__setattr__(self, "op", _member(ReduceOp, self.op, "reduction"))

    def _tuple(self) -> tuple:
        return (self.name, int(self.dtype), self.count, int(self.op), self.priority,
                self.optimizer._tuple())


@dataclass(frozen=True)
class Tensor:
    """A registered tensor: what operations are started on. index counts from 0."""
    index: int
    spec: TensorSpec
