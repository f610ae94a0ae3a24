"""Three ways to train the same model on all ranks: DDP with Gloo, DDP with the hub's hook, and the
optimizer at the hub."""
import os
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import phub.torch

WAYS = ("DDP, Gloo", "DDP, hub's hook", "optimizer at the hub")


def start():
    """Gloo for DDP's own business; this rank, and how many there are."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    return dist.get_rank(), dist.get_world_size()


def prepare(way, model, lr):
    """What a trainer has to change: the model to call, and its optimizer."""
    if way == "optimizer at the hub":
        return model, phub.torch.HubOptimizer(model.named_parameters(), "adamw", lr=lr)
    model = DistributedDataParallel(model)
    if way == "DDP, hub's hook":
        model.register_comm_hook(phub.torch.State(), phub.torch.hook)
    return model, torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0)


def train(way, model, lr, batches, loss_of):
    """Steps through this rank's batches; the last loss averaged over all ranks, and the seconds."""
    model, optimizer = prepare(way, model, lr)
    dist.barrier()
    begin = time.perf_counter()
    for batch in batches:
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
    dist.barrier()
    return phub.torch.average(loss), time.perf_counter() - begin


def compare(make_model, lr, make_batches, loss_of, judge):
    """Trains in each way from the same start, and prints a line for each; False if they differ."""
    losses = []
    for way in WAYS:
        torch.manual_seed(1)
        model = make_model()
        loss, seconds = train(way, model, lr, make_batches(), loss_of)
        losses.append(loss)
        if dist.get_rank() == 0:
            print(f"{way:22} {seconds:6.2f} s   loss {loss:.4f}   {judge(model)}", flush=True)
    # Not bit for bit: Gloo adds in another order. Training makes more of such a difference.
    return max(losses) - min(losses) < 0.02 * max(losses)
