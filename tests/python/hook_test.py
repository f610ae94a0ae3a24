"""Goal: DistributedDataParallel trains the same through the hub as by its own all-reduce.

Method: real ranks with Gloo for DDP's own business; the same model, data and steps, once without
and once with the hook, over the rebuild of the buckets after the first step.
"""
import os
import signal
import socket

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import phub
import phub.torch
from gang import run_ranks, start_ranks

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _environment():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}


def _start():
    dist.init_process_group("gloo", rank=int(os.environ["PHUB_RANK"]),
                            world_size=int(os.environ["PHUB_SIZE"]))


def _model(dtype):
    torch.manual_seed(1)
    layers = [torch.nn.Linear(64, 300), torch.nn.Tanh(), torch.nn.Linear(300, 300),
              torch.nn.Tanh(), torch.nn.Linear(300, 7)]
    # Buckets of 0.1 MB: several, and others after the rebuild.
    return DistributedDataParallel(torch.nn.Sequential(*layers).to(dtype), bucket_cap_mb=0.1)


def _train(model, dtype, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(dist.get_rank())
    for _ in range(steps):
        inputs = torch.randn(16, 64, generator=generator).to(dtype)
        optimizer.zero_grad()
        model(inputs).float().square().mean().backward()
        optimizer.step()
    return torch.cat([p.detach().float().reshape(-1) for p in model.parameters()])


def rank_of_training(type_name, wire):
    _start()
    dtype = TYPES[type_name]
    want = _train(_model(dtype), dtype, 5)
    model = _model(dtype)
    state = phub.torch.State(wire=wire)
    model.register_comm_hook(state, phub.torch.hook)
    got = _train(model, dtype, 5)
    means = phub.torch.average({"difference": (got - want).abs().max().item()})
    names = [tensor.spec.name for tensor in state.worker.tensors]
    checks = [torch.zeros_like(got) for _ in range(dist.get_world_size())]
    dist.all_gather(checks, got)
    return [means["difference"], names, all(torch.equal(got, other) for other in checks)]


@pytest.mark.parametrize("type_name,wire,bound", [
    ("fp32", None, 1e-6), ("bf16", None, 0.02), ("fp16", None, 0.002), ("fp32", "bf16", 0.002),
    ("fp32", "fp16", 0.0005)])
def test_training_equals_ddps_own(hub, type_name, wire, bound):
    results = run_ranks(hub, 3, rank_of_training, type_name, wire, environment=_environment())
    for difference, names, is_same in results:
        assert difference <= bound
        assert is_same, "the ranks' models differ"
        assert len([n for n in names if f".{wire or type_name}." in n]) >= 2, names


def rank_of_no_sync_and_join():
    _start()
    sums = []
    for with_hub in (False, True):
        model = _model(torch.float32)
        if with_hub:
            model.register_comm_hook(phub.torch.State(), phub.torch.hook)
        inputs = torch.ones(4, 64) * (dist.get_rank() + 1)
        with model.join():
            for step in range(2 + 2 * dist.get_rank()):
                with model.no_sync():
                    model(inputs).square().mean().backward()
                model(inputs * step).square().mean().backward()
        sums.append(sum(p.grad.double().sum().item() for p in model.parameters()))
    return sums


def test_no_sync_and_join_work_as_without(hub):
    for without, through_hub in run_ranks(hub, 2, rank_of_no_sync_and_join,
                                          environment=_environment()):
        assert through_hub == pytest.approx(without, rel=1e-5)


def rank_that_trains_on(doomed):
    _start()
    model = _model(torch.float32)
    state = phub.torch.State(timeout=3)
    model.register_comm_hook(state, phub.torch.hook)
    _train(model, torch.float32, 3)
    print("ready", flush=True)
    if dist.get_rank() == doomed:
        signal.pause()
    try:
        _train(model, torch.float32, 1)
    except RuntimeError as error:
        print("told", flush=True)
        return [type(state.error).__name__, state.error.rank, str(error)]
    return "no error"


@pytest.mark.parametrize("who", ["rank", "hub", "nobody"])
def test_backward_names_who_failed(hub, who):
    ranks = start_ranks(hub, 2, rank_that_trains_on, 1, environment=_environment())
    for rank in ranks:
        while rank.line() != "ready":
            pass
    if who == "rank":
        ranks[1].kill()
    elif who == "hub":
        hub.kill()
    name, blamed, text = ranks[0].finish(20)
    if who == "hub":
        assert name == "Unavailable" and hub.address in text
    else:
        assert [name, blamed] == ["Aborted" if who == "rank" else "TimedOut", 1]
        assert "rank 1 (process" in text
    ranks[1].kill()
    ranks[1].finish(20)


def rank_of_broadcast():
    torch.manual_seed(int(os.environ["PHUB_RANK"]))
    model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3)).double()
    odd = torch.rand(7).bfloat16()
    flags = torch.rand(3, 5) > 0.5
    turned = torch.rand(4, 6).t()
    phub.torch.broadcast_parameters(model, root=1)
    phub.torch.broadcast_parameters([odd, flags, turned, torch.empty(0)], root=1)
    values = [*model.state_dict().values(), odd, flags, turned]
    return [value.double().flatten().tolist() for value in values]


def test_parameters_of_any_type_become_roots(hub):
    first, second = run_ranks(hub, 2, rank_of_broadcast)
    assert first == second
    assert len(set(second[-1])) == 24


def rank_of_averages():
    rank = int(os.environ["PHUB_RANK"])
    return [phub.torch.average(rank), phub.torch.average({"a": rank, "b": torch.tensor(2.0)}),
            phub.torch.average(torch.full((2, 2), rank)).tolist(), phub.torch.average(rank)]


def test_averages_are_over_all_ranks(hub):
    assert run_ranks(hub, 4, rank_of_averages) == [
        [1.5, {"a": 1.5, "b": 2.0}, [[1.5, 1.5], [1.5, 1.5]], 1.5]] * 4
