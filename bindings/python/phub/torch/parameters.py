"""Makes the tensors of all ranks equal."""
from __future__ import annotations

from typing import Any, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

import torch

from phub.registry import default_worker, registry_of
from phub.types import TensorSpec
from phub.worker import Worker

_PIECE_WORDS = 16 << 20


def broadcast_parameters(tensors: Union[torch.nn.Module, Mapping[str, Any],
                                        Iterable[torch.Tensor]],
                         root: int = 0, worker: Optional[Worker] = None) -> None:
    """Every rank gets root's values, in place, bit for bit, whatever the element types.

    tensors: a module (its parameters and buffers), a state_dict, or tensors; the same on every
    rank. Collective. What is no tensor (in a state_dict) is left alone.
    """
    worker = worker or default_worker()
    all_tensors = _tensors_of(tensors)
    size = sum(tensor.numel() * tensor.element_size() for tensor in all_tensors)
    if size == 0:
        return
    with torch.no_grad():
        flat = torch.zeros((size + 3) // 4 * 4, dtype=torch.uint8)
        places = list(_places(all_tensors))
        for each, begin, end in places:
            flat[begin:end] = _bytes_of(each)
        _send(worker, flat.view(torch.int32), root)
        for each, begin, end in places:
            data = flat[begin:end].clone() if begin % each.element_size() else flat[begin:end]
            each.detach().copy_(data.view(each.dtype).reshape(each.shape))


def _send(worker: Worker, words: torch.Tensor, root: int) -> None:
    """In pieces, so that the hub needs little memory for it."""
    count = min(_PIECE_WORDS, words.numel())
    spec = TensorSpec(f"broadcast.{count}", count, "int32")
    tensor, = registry_of(worker).replace("broadcast", [spec])
    for begin in range(0, words.numel(), count):
        begin = min(begin, words.numel() - count)  # The last overlaps the one before.
        worker.broadcast(tensor, words[begin:begin + count], root).wait()


def _places(tensors: List[torch.Tensor]) -> Iterator[Tuple[torch.Tensor, int, int]]:
    begin = 0
    for tensor in tensors:
        end = begin + tensor.numel() * tensor.element_size()
        yield tensor, begin, end
        begin = end


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def _tensors_of(given: Any) -> List[torch.Tensor]:
    if isinstance(given, torch.nn.Module):
        given = given.state_dict(keep_vars=True)
    values = given.values() if isinstance(given, Mapping) else given
    return [value for value in values if isinstance(value, torch.Tensor)]
