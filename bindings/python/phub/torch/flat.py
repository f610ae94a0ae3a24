"""Tensors of any layout as the contiguous memory that messages are made of."""
from __future__ import annotations

import torch

from phub.errors import InvalidArgument, Unimplemented


class Flat:
    """`memory`: the elements of a tensor, contiguous, one-dimensional: its own, or a copy."""

    def __init__(self, tensor: torch.Tensor):
        if tensor.layout != torch.strided:
            raise Unimplemented(f"process group phub: a tensor of layout {tensor.layout}; want "
                                "dense ones")
        if tensor.device.type != "cpu":
            raise InvalidArgument(f"process group phub: a tensor on {tensor.device}; want the CPU")
        self._tensor = tensor.detach()
        self._is_copy = not tensor.is_contiguous()
        self.memory = self._tensor.contiguous().view(-1)

    def write_back(self) -> None:
        """What has come into a copy goes into the tensor."""
        if self._is_copy:
            with torch.no_grad():
                self._tensor.copy_(self.memory.view(self._tensor.shape))
