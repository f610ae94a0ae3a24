#!/usr/bin/env python3
"""One synchronization of DistributedDataParallel: by Gloo, and through the hub's hook, in turns.

    python -m phub.launch -n 4 perf/python/ddp.py [--rounds N] [--layers N] [--wire bf16]

The model has the tensors of a real network (perf/models/resnet50.csv) and next to nothing to
compute, so that backward() is the synchronization. Every gradient of every round is checked.
Prints, for each way, the median over rounds of the slowest rank's backward().
"""
import argparse
import csv
import os
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import phub.torch

MODELS = Path(__file__).resolve().parent.parent / "models"
WARMUP = 3  # Among them the one after which DDP rebuilds its buckets.


class Tensors(torch.nn.Module):
    """Parameters of these sizes; the gradient of each element is `factor`."""

    def __init__(self, counts):
        super().__init__()
        self.tensors = torch.nn.ParameterList([torch.zeros(count) for count in counts])

    def forward(self, factor):
        return torch.stack([tensor.sum() for tensor in self.tensors]).sum() * factor


def one_round(model, factor, want):
    """Seconds of backward(), the slowest rank's."""
    loss = model(factor)
    dist.barrier()
    begin = time.perf_counter()
    loss.backward()
    seconds = torch.tensor(time.perf_counter() - begin)
    for parameter in model.parameters():
        if not (parameter.grad == want).all():
            sys.exit(f"ddp.py: a gradient is {parameter.grad[parameter.grad != want][0]}, "
                     f"not {want}")
        parameter.grad = None
    dist.all_reduce(seconds, dist.ReduceOp.MAX)
    return seconds.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--layers", type=int, help="only so many of the model's tensors")
    parser.add_argument("--wire", choices=["bf16", "fp16"])
    arguments = parser.parse_args()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    with open(MODELS / "resnet50.csv", encoding="utf-8") as lines:
        rows = csv.reader(line for line in lines if not line.startswith("#"))
        counts = [int(row[-1]) for row in rows][:arguments.layers]
    models = {"gloo": DistributedDataParallel(Tensors(counts)),
              "phub": DistributedDataParallel(Tensors(counts))}
    models["phub"].register_comm_hook(phub.torch.State(wire=arguments.wire), phub.torch.hook)
    factor, want = rank + 1.0, (size + 1) / 2
    times = {name: [] for name in models}
    for number in range(arguments.rounds + WARMUP):
        for name in list(models) if number % 2 else reversed(models):
            seconds = one_round(models[name], factor, want)
            if number >= WARMUP:
                times[name].append(seconds)
    if rank == 0:
        print(f"{len(counts)} tensors, {sum(counts) * 4 / 1e6:.1f} MB, {size} ranks, "
              f"{arguments.rounds} rounds in turns, median of the slowest rank's backward()")
        gloo, hub = (statistics.median(times[name]) * 1e3 for name in ("gloo", "phub"))
        print(f"gloo {gloo:.1f} ms   phub {hub:.1f} ms   {gloo / hub:.2f} x")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
