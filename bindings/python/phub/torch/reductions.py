"""How the summands of all ranks become one result: in the order of ranks, the same everywhere."""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterable

import torch
import torch.distributed as dist

from phub.errors import InvalidArgument, Unimplemented

_Kind = dist.ReduceOp.RedOpType
_INTO: Dict[Any, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    _Kind.SUM: torch.Tensor.add_,
    _Kind.AVG: torch.Tensor.add_,
    _Kind.PRODUCT: torch.Tensor.mul_,
    _Kind.MIN: lambda a, b: torch.minimum(a, b, out=a),
    _Kind.MAX: lambda a, b: torch.maximum(a, b, out=a),
    _Kind.BAND: torch.Tensor.bitwise_and_,
    _Kind.BOR: torch.Tensor.bitwise_or_,
    _Kind.BXOR: torch.Tensor.bitwise_xor_,
}
_BITWISE = (_Kind.BAND, _Kind.BOR, _Kind.BXOR)


class Reduction:
    """One operator on one type of elements. fp16, bf16 and smaller are added in fp32, rounded once.

    Unimplemented: an operator that PHub lacks. InvalidArgument: it has no meaning for the type.
    """

    def __init__(self, op: Any, dtype: torch.dtype):
        self._kind = op.op if isinstance(op, dist.ReduceOp) else op
        if self._kind not in _INTO:
            raise Unimplemented(f"reduce by {self._kind}: want SUM, AVG, PRODUCT, MIN, MAX, BAND, "
                                "BOR or BXOR")
        if self._kind in _BITWISE and (dtype.is_floating_point or dtype.is_complex):
            raise InvalidArgument(f"reduce {dtype} by {self._kind}: bits of integers only")
        is_small = dtype.is_floating_point and dtype.itemsize < 4
        self._dtype = torch.float32 if is_small else dtype

    def __call__(self, summands: Iterable[torch.Tensor], size: int) -> torch.Tensor:
        """The result of `size` summands, which come in the order of ranks; new memory."""
        total = None
        for summand in summands:
            if total is None:
                total = summand.to(self._dtype, copy=True)
            else:
                _INTO[self._kind](total, summand.to(self._dtype))
        if self._kind == _Kind.AVG:
            is_whole = not (self._dtype.is_floating_point or self._dtype.is_complex)
            total.div_(size, rounding_mode="trunc" if is_whole else None)
        return total
