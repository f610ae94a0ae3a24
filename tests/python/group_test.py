"""Goal: torch.distributed does over PHub what it does over Gloo, and names who fails.

Method: real ranks, each with a group of both backends, which must leave the same in the same
tensors; sums also bit-identical on all ranks. Ranks are killed, late, or leave.
"""
import os
import signal
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

import phub.torch  # noqa: F401 (makes the backend known)
from gang import run_ranks, start_ranks

SIZE = 4


def _start(path, seconds=30):
    dist.init_process_group("phub", init_method=f"file://{path}",
                            rank=int(os.environ["PHUB_RANK"]),
                            world_size=int(os.environ["PHUB_SIZE"]),
                            timeout=timedelta(seconds=seconds))


def _gloo():
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    return dist.new_group(backend="gloo")


def rank_of_first_light(path):
    _start(path)
    rank = dist.get_rank()
    value = torch.full((3,), rank + 1.0)
    dist.all_reduce(value)
    dist.barrier()
    word = torch.full((2, 2), rank, dtype=torch.int64)
    dist.broadcast(word, 1)
    got = torch.zeros(5)
    if rank == 0:
        dist.send(torch.arange(5.0), 1, tag=7)
        dist.recv(got, 1, tag=8)
    else:
        dist.recv(got, 0, tag=7)
        dist.send(got * 2, 0, tag=8)
    dist.destroy_process_group()
    return [value.tolist(), word.tolist(), got.tolist()]


def test_first_light(tmp_path):
    first, second = run_ranks(None, 2, rank_of_first_light, str(tmp_path / "store"))
    assert first == [[3.0] * 3, [[1, 1], [1, 1]], [0, 2, 4, 6, 8]]
    assert second == [[3.0] * 3, [[1, 1], [1, 1]], [0, 1, 2, 3, 4]]
