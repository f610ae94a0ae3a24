"""The hub's optimizer state in the form of torch.optim's state_dict()["state"]."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import torch

from phub.types import OptimizerKind, Tensor
from phub.worker import Worker

# By optimizer: torch's names of the two moments.
_NAMES = {"sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq"),
          "adamw": ("exp_avg", "exp_avg_sq")}
_KINDS = ("first_moment", "second_moment")


# A parameter's number in state_dict() is its place in this; None: it needs no gradient.
Places = Sequence[Optional[Tuple[Tensor, torch.Tensor]]]


def read(worker: Worker, places: Places, name: str) -> Dict[int, Any]:
    """What torch.optim would have, and "step" for every optimizer."""
    state: Dict[int, Any] = {}
    for number, place in enumerate(places):
        if place is None:
            continue
        tensor, parameter = place
        steps = worker.read_step_count(tensor)
        if steps == 0:
            continue
        state[number] = {"step": torch.tensor(float(steps))}
        if tensor.spec.optimizer.kind == OptimizerKind.sgd:
            continue
        for key, kind in zip(_NAMES[name], _KINDS):
            values = torch.empty(parameter.shape)
            state[number][key] = worker.read_state(tensor, kind, values)
    return state


def write(worker: Worker, places: Places, state: Mapping[int, Mapping[str, Any]]) -> None:
    """The reverse. What `state` does not have counts as no step taken."""
    for number, place in enumerate(places):
        if place is None:
            continue
        tensor, _ = place
        entry = state.get(number, {})
        moments = [entry[key] for names in (("momentum_buffer",), ("exp_avg", "exp_avg_sq"))
                   for key in names if entry.get(key) is not None]
        for kind, values in zip(_KINDS, moments):
            numbers = values.detach().to("cpu", torch.float32).contiguous()
            worker.write_state(tensor, kind, numbers)
        steps = entry.get("step", 1 if moments else 0)
        worker.write_step_count(tensor, int(steps))
