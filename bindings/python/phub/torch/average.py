"""Averages of numbers over all ranks: of losses and metrics."""
from __future__ import annotations

from typing import Mapping, Optional, TypeVar, Union

import torch

from phub.registry import default_worker, registry_of
from phub.types import TensorSpec
from phub.worker import Worker

Value = Union[float, int, torch.Tensor]
Values = TypeVar("Values", bound=Union[Value, Mapping[str, Value]])


def average(values: Values, worker: Optional[Worker] = None) -> Values:
    """The mean over all ranks of a number, a tensor, or a dict of numbers; in float64.

    Collective: every rank calls it with the same form. Returns a float, a float64 tensor, or a dict
    of floats. For a mean weighted by samples, average the sums and the counts, and divide.
    """
    worker = worker or default_worker()
    if isinstance(values, Mapping):
        flat = torch.tensor([float(value) for value in values.values()], dtype=torch.float64)
        return dict(zip(values, _mean(flat, worker).tolist()))
    if isinstance(values, torch.Tensor) and values.dim() > 0:
        flat = values.detach().to("cpu", torch.float64).reshape(-1)
        return _mean(flat, worker).reshape(values.shape)
    return _mean(torch.tensor([float(values)], dtype=torch.float64), worker).item()


def _mean(flat: torch.Tensor, worker: Worker) -> torch.Tensor:
    count = flat.numel()
    if count == 0:
        return flat
    spec = TensorSpec(f"average.{count}", count, "fp64", "mean")
    tensor, = registry_of(worker).replace(f"average.{count}", [spec])
    mean = torch.empty_like(flat)
    worker.push_pull(tensor, flat.contiguous(), mean).wait()
    return mean
