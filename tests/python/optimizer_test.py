"""Goal: HubOptimizer is torch.optim over the global batch, with all that a trainer does around it.

Method: real ranks train by shares of a batch; one process trains on all of it with torch.optim, in
fp32 and in fp64. Bars: the difference, relative to the tensor's largest value, and the error
against fp64 beside torch's own.
"""
import copy
import os
import signal

import pytest
import torch

import phub
import phub.torch
from gang import run_ranks, start_ranks

STEPS = 50
RANKS = 4
SHARE = 8
KINDS = {
    "sgd": ("sgd", {"lr": 0.05, "weight_decay": 0.01}),
    "momentum": ("sgd", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1}),
    "nesterov": ("sgd", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": ("adam", {"lr": 0.01, "weight_decay": 0.01}),
    "adamw": ("adamw", {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
}
TORCH = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def _rank():
    return int(os.environ["PHUB_RANK"])


def _model(seed=1):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(20, 40), torch.nn.Tanh(), torch.nn.Linear(40, 5))


def _batch(step, rank=None):
    """All ranks' share of a step, or one's."""
    inputs = torch.randn(RANKS * SHARE, 20, generator=torch.Generator().manual_seed(step))
    return inputs if rank is None else inputs[rank * SHARE:(rank + 1) * SHARE]


def _loss(model, inputs):
    return model(inputs).square().sum(1).sin().mean()


def _alone(kind, dtype, steps=STEPS, model=None, max_norm=None, schedule=None):
    name, options = KINDS[kind]
    model = (model or _model()).to(dtype)
    optimizer = TORCH[name](model.parameters(), foreach=False, **options)
    scheduler = schedule and schedule(optimizer)
    for step in range(steps):
        optimizer.zero_grad()
        _loss(model, _batch(step).to(dtype)).backward()
        if max_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        if scheduler:
            scheduler.step()
    return model, optimizer


def _values(model):
    return [p.detach().double().tolist() for p in model.parameters()]


def _expect_equal(got, kind, bound=1e-5, **changed):
    want, _ = _alone(kind, torch.float32, **changed)
    exact, _ = _alone(kind, torch.float64, **changed)
    for mine, torchs, best in zip(got, want.parameters(), exact.parameters()):
        mine, torchs = torch.tensor(mine, dtype=torch.float64), torchs.double()
        assert (mine - torchs).abs().max() <= bound * torchs.abs().max()
        assert (mine - best).abs().max() <= 2 * (torchs - best).abs().max() + 1e-9


def rank_of_training(kind, max_norm, with_schedule):
    name, options = KINDS[kind]
    model = _model(seed=_rank() + 1)  # Rank 0's is everybody's.
    optimizer = phub.torch.HubOptimizer(model.parameters(), name, max_norm=max_norm, **options)
    scheduler = with_schedule and _schedule(optimizer)
    for step in range(STEPS):
        optimizer.zero_grad()
        _loss(model, _batch(step, _rank())).backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
    return _values(model)


def _schedule(optimizer):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_hub_steps_as_torch_does(hub, kind):
    results = run_ranks(hub, RANKS, rank_of_training, kind, None, False)
    assert results == [results[0]] * RANKS
    _expect_equal(results[0], kind)


def test_schedules_and_clipping_are_torchs(hub):
    results = run_ranks(hub, RANKS, rank_of_training, "adamw", 0.05, True)
    assert results == [results[0]] * RANKS
    _expect_equal(results[0], "adamw", max_norm=0.05, schedule=_schedule)


def rank_of_accumulation():
    """Each share in two halves, the first without a push."""
    model = _model()
    name, options = KINDS["momentum"]
    optimizer = phub.torch.HubOptimizer(model.named_parameters(), name, **options)
    for step in range(10):
        optimizer.zero_grad(set_to_none=step % 2 == 0)
        first, second = _batch(step, _rank()).chunk(2)
        with optimizer.no_sync():
            (_loss(model, first) / 2).backward()
        (_loss(model, second) / 2).backward()
        optimizer.step()
    return _values(model)


def test_gradients_accumulate_without_pushes(hub):
    results = run_ranks(hub, RANKS, rank_of_accumulation)
    _expect_equal(results[3], "momentum", steps=10)


def rank_of_resuming(kind, folder):
    """Ten steps; then, in a new job, ten from what rank 0 has saved."""
    name, options = KINDS[kind]
    path = os.path.join(folder, "checkpoint")
    model = _model()
    for job in ("first", "second"):
        with phub.Worker(job=job) as worker:
            optimizer = phub.torch.HubOptimizer(model.parameters(), name, worker=worker, **options)
            if job == "second":
                saved = torch.load(path)
                model.load_state_dict(saved["model"])
                optimizer.load_state_dict(saved["optimizer"])
            for step in range(10):
                optimizer.zero_grad()
                _loss(model, _batch(step + 10 * (job == "second"), _rank())).backward()
                optimizer.step()
            if job == "first" and worker.rank == 0:
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()},
                           path)
            worker.barrier()
        model = _model(seed=99) if job == "first" else model
    return _values(model)


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_training_resumes_from_a_checkpoint(hub, kind, tmp_path):
    results = run_ranks(hub, 2, rank_of_resuming, kind, str(tmp_path))
    assert results[0] == results[1]
    saved = torch.load(tmp_path / "checkpoint")
    # torch.optim goes on from the same file: the form is its own.
    name, options = KINDS[kind]
    model = _model()
    model.load_state_dict(saved["model"])
    optimizer = TORCH[name](model.parameters(), foreach=False, **options)
    optimizer.load_state_dict(saved["optimizer"])
    for step in range(10, 20):
        optimizer.zero_grad()
        sum(_loss(model, _batch(step, rank)) / 2 for rank in range(2)).backward()
        optimizer.step()
    for mine, torchs in zip(results[0], model.parameters()):
        assert torch.allclose(torch.tensor(mine), torchs.detach(), rtol=1e-5, atol=1e-6)


def rank_of_uneven_batches():
    model = _model()
    optimizer = phub.torch.HubOptimizer(model.parameters(), "sgd", lr=0.1)
    with optimizer.join():
        for step in range(2 + 3 * _rank()):
            optimizer.zero_grad()
            _loss(model, _batch(step, _rank())).backward()
            optimizer.step()
    return [_values(model), phub.torch.average(float(_rank()))]


def test_ranks_with_fewer_batches_answer_for_the_others(hub):
    results = run_ranks(hub, 3, rank_of_uneven_batches)
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(8):
        active = [rank for rank in range(3) if step < 2 + 3 * rank]
        optimizer.zero_grad()
        sum(_loss(model, _batch(step, rank)) / len(active) for rank in active).backward()
        optimizer.step()
    for values, mean in results:
        assert values == results[0][0] and mean == 1.0
        for mine, torchs in zip(values, model.parameters()):
            assert torch.allclose(torch.tensor(mine), torchs.detach(), rtol=1e-5, atol=1e-6)


def rank_of_misuse():
    said = []
    model = _model()
    frozen = copy.deepcopy(model)
    frozen[0].requires_grad_(False)
    with phub.Worker() as worker:
        optimizer = phub.torch.HubOptimizer(
            [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}],
            worker=worker)

        def fails(call):
            try:
                call()
                said.append("nothing")
            except (phub.Error, RuntimeError) as error:
                said.append(str(error))

        _loss(model, _batch(0)).backward()
        optimizer.zero_grad()
        fails(lambda: _loss(model, _batch(0)).backward())
        fails(optimizer.state_dict)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 0.2
        fails(lambda: _loss(model, _batch(0)).backward())
        optimizer.param_groups[0]["lr"] = 0.1
        optimizer.zero_grad()
        _loss(model, _batch(0)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.001)
        fails(optimizer.step)
    fails(lambda: phub.torch.HubOptimizer(model.double().parameters(), worker=worker))
    return said


def test_misuse_is_told(hub):
    said, = run_ranks(hub, 1, rank_of_misuse)
    for text, part in zip(said, ["on its way already", "a step is going on", "all tensors at once",
                                 "give HubOptimizer max_norm", "want float32"]):
        assert part in text
    assert len(said) == 5


def rank_that_trains_on(doomed):
    model = _model()
    optimizer = phub.torch.HubOptimizer(model.parameters(), "adam")
    for step in range(1000):
        if step == 3:
            print("ready", flush=True)
            if _rank() == doomed:
                signal.pause()
        optimizer.zero_grad()
        try:
            _loss(model, _batch(step, _rank())).backward()
            optimizer.step()
        except phub.Error as error:
            return [error.code, error.rank, error.tensor]
    return "no error"


@pytest.mark.parametrize("who", ["rank", "hub"])
def test_step_names_who_failed(hub, who):
    ranks = start_ranks(hub, 2, rank_that_trains_on, 1)
    assert [rank.line() for rank in ranks] == ["ready"] * 2
    if who == "rank":
        ranks[1].kill()
    else:
        hub.kill()
    code, blamed, tensor = ranks[0].finish(20)
    assert code == ("aborted" if who == "rank" else "unavailable")
    assert blamed == (1 if who == "rank" else None)
    assert tensor.startswith("optimizer0.")
    ranks[1].kill()
    ranks[1].finish(20)
