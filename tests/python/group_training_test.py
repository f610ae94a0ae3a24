"""Goal: DDP, FSDP and ZeRO's optimizer, unmodified, train over PHub as they do over Gloo.

Method: real ranks train the same model on the same data, once with a group of each backend; the
parameters after some steps must agree.
"""
import os
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

import phub.torch  # noqa: F401 (makes the backend known)
from gang import run_ranks

SIZE = 4


def _groups(path):
    """PHub's and Gloo's, of all ranks; the first is the default."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("phub", init_method=f"file://{path}",
                            rank=int(os.environ["PHUB_RANK"]), world_size=SIZE,
                            timeout=timedelta(seconds=60))
    return [dist.group.WORLD, dist.new_group(backend="gloo")]


def _model(seed=1):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(32, 300), torch.nn.Tanh(), torch.nn.Linear(300, 300),
                               torch.nn.Tanh(), torch.nn.Linear(300, 7))


def _train(model, optimizer, steps=3):
    generator = torch.Generator().manual_seed(dist.get_rank())
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, 32, generator=generator)).square().mean().backward()
        optimizer.step()


def _flat(values):
    return torch.cat([value.detach().reshape(-1) for value in values])


def _ddp(group):
    model = _model(dist.get_rank())  # Made equal by DDP.
    trained = DistributedDataParallel(model, process_group=group, bucket_cap_mb=0.1)
    _train(trained, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    return _flat(model.parameters())


def _ddp_join(group):
    model = _model()
    trained = DistributedDataParallel(model, process_group=group, bucket_cap_mb=0.1)
    with trained.join():
        _train(trained, torch.optim.SGD(model.parameters(), lr=0.1), 1 + dist.get_rank())
    return _flat(model.parameters())


def _fsdp(group):
    model = FullyShardedDataParallel(_model(), process_group=group,
                                     device_id=torch.device("cpu"))
    _train(model, torch.optim.AdamW(model.parameters(), lr=0.01))
    with FullyShardedDataParallel.summon_full_params(model):
        return _flat(model.parameters())


def _fsdp2(group):
    model = _model()
    mesh = DeviceMesh.from_group(group, "cpu")
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    _train(model, torch.optim.AdamW(model.parameters(), lr=0.01))
    return _flat(parameter.full_tensor() for parameter in model.parameters())


def _zero(group):
    model = _model()
    trained = DistributedDataParallel(model, process_group=group)
    _train(trained, ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01,
                                            process_group=group))
    return _flat(model.parameters())


WAYS = {"ddp": _ddp, "ddp with join": _ddp_join, "fsdp": _fsdp, "fsdp2": _fsdp2, "zero": _zero}


def rank_of_training(path, way):
    got, want = [WAYS[way](group) for group in _groups(path)]
    equal = [torch.zeros_like(got) for _ in range(SIZE)]
    dist.all_gather(equal, got)
    dist.destroy_process_group()
    # Adam divides by roots of squares: small sums in another order are seen.
    before = _flat(_model().parameters())
    return [(got - want).abs().max().item(), (got - before).abs().max().item(),
            all(torch.equal(got, other) for other in equal)]


@pytest.mark.parametrize("way", WAYS)
def test_training_equals_gloos(tmp_path, way):
    for difference, moved, is_same in run_ranks(None, SIZE, rank_of_training,
                                                str(tmp_path / "store"), way):
        assert difference <= 1e-4 and moved > 1e-3
        assert is_same, "the ranks' models differ"
