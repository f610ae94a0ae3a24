"""Goal: mx.kv.create("phub") under an unmodified gluon.Trainer is MXNet over the global batch.

Method: real ranks train by shares of a batch, the optimizer at the hub or at each worker; one
process trains on all of it with MXNet's own optimizers. Beside that: what the store does with keys
by themselves, and what it refuses.
"""
import os

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

import phub.mxnet
from gang import run_ranks

STEPS = 30
RANKS = 4
SHARE = 8
KINDS = {
    "sgd": ("sgd", {"learning_rate": 0.05, "wd": 0.01}),
    "momentum": ("sgd", {"learning_rate": 0.05, "momentum": 0.9}),
    "nesterov": ("nag", {"learning_rate": 0.05, "momentum": 0.9}),
    "adam": ("adam", {"learning_rate": 0.01, "wd": 0.01}),
    "scheduled": ("sgd", {"learning_rate": 0.05}),
    "multiplied": ("sgd", {"learning_rate": 0.05, "wd": 0.01}),
}


def _rank():
    return int(os.environ["PHUB_RANK"])


def _net(seed, contexts, kind):
    """A small one, with a parameter that gets no gradients."""
    mx.random.seed(seed)
    net = gluon.nn.HybridSequential(prefix="net_")
    with net.name_scope():  # A Trainer numbers parameters in the order of their names.
        net.add(gluon.nn.Dense(8, activation="tanh", in_units=20),
                gluon.nn.Dense(6, activation="tanh", in_units=8),
                gluon.nn.Dense(5, in_units=6))
    scale = net.params.get("scale", shape=(3,), grad_req="null", init="ones")
    net.initialize(mx.init.Xavier(), ctx=contexts)
    if kind == "multiplied":
        net[1].weight.lr_mult = 0.1
        net[2].bias.wd_mult = 3
    return net


def _trainer(net, kind, **options):
    name, numbers = KINDS[kind]
    numbers = dict(numbers)
    if kind == "scheduled":
        numbers["lr_scheduler"] = mx.lr_scheduler.FactorScheduler(5, 0.7, base_lr=0.05)
    return gluon.Trainer(net.collect_params(), name, numbers, **options)


def _batch(step, rank=None):
    """All ranks' share of a step, or one's."""
    inputs = np.random.RandomState(step).randn(RANKS * SHARE, 20).astype(np.float32)
    return inputs if rank is None else inputs[rank * SHARE:(rank + 1) * SHARE]


def _step(net, trainer, batch, contexts):
    with autograd.record():
        inputs = [mx.nd.array(part, ctx=context)
                  for part, context in zip(np.split(batch, len(contexts)), contexts)]
        losses = [((net(each) - each[:, :5]) ** 2).sum(axis=1) for each in inputs]
    autograd.backward(losses)
    trainer.step(RANKS * SHARE)


def _values(net):
    return [p.data(p.list_ctx()[-1]).asnumpy().tolist() for p in net.collect_params().values()]


def _alone(kind, steps=STEPS):
    contexts = [mx.cpu()]
    net = _net(1, contexts, kind)
    trainer = _trainer(net, kind, kvstore=None)
    for step in range(steps):
        _step(net, trainer, _batch(step), contexts)
    return _values(net)


# Relative to each tensor's largest value. The hub's Adam adds epsilon after the correction of the
# bias, MXNet's before: where gradients are tiny, that shows.
BOUNDS = {kind: 1e-4 if kind == "adam" else 1e-5 for kind in KINDS}


def _expect_equal(got, want, bound=1e-5):
    for mine, other in zip(got, want, strict=True):
        mine, other = np.array(mine), np.array(other)
        assert np.abs(mine - other).max() <= bound * np.abs(other).max()


def _train(kind, devices=1, steps=STEPS, **options):
    contexts = [mx.cpu(i) for i in range(devices)]
    net = _net(1, contexts, kind)
    trainer = _trainer(net, kind, kvstore=mx.kv.create("phub"), **options)
    for step in range(steps):
        _step(net, trainer, _batch(step, _rank()), contexts)
    return _values(net)


def rank_of_training(at_hub):
    """One store after the other, each with an optimizer of its own."""
    return {kind: _train(kind, update_on_kvstore=at_hub) for kind in KINDS}


@pytest.mark.parametrize("at_hub", [None, False], ids=["hub", "workers"])
def test_a_trainer_does_as_one_process_would(hub, at_hub):
    results = run_ranks(hub, RANKS, rank_of_training, at_hub)
    assert results == [results[0]] * RANKS
    for kind in KINDS:
        _expect_equal(results[0][kind], _alone(kind), BOUNDS[kind] if at_hub is None else 1e-5)


def rank_of_other_ways():
    return [_train("momentum", devices=2), _train("momentum", devices=2, update_on_kvstore=False),
            _train("sgd", update_on_kvstore=False, compression_params={"type": "fp16"}),
            _train("sgd", update_on_kvstore=False, compression_params={"type": "none"})]


def test_copies_on_several_devices_are_added_first_and_16_bits_are_enough(hub):
    results = run_ranks(hub, RANKS, rank_of_other_ways)
    assert results == [results[0]] * RANKS
    for values in results[0][:2]:
        _expect_equal(values, _alone("momentum"))
    narrow, wide = results[0][2:]
    _expect_equal(wide, _alone("sgd"))
    _expect_equal(narrow, wide, 5e-3)
    assert narrow != wide


def rank_of_own_weights():
    """Every rank has weights of its own: rank 0's are everybody's from the next step on."""
    contexts = [mx.cpu()]
    net = _net(_rank() + 1, contexts, "sgd")
    first = _values(net)
    trainer = _trainer(net, "sgd", kvstore="dist_phub")
    trainer.set_learning_rate(0)
    _step(net, trainer, _batch(0, _rank()), contexts)
    begin = _values(net)
    for parameter in net.collect_params().values():
        parameter.set_data(mx.nd.full(parameter.shape, _rank() + 7))
    _step(net, trainer, _batch(1, _rank()), contexts)
    values = np.concatenate([p.data().asnumpy().ravel() for p in net.collect_params().values()])
    return [first, begin, np.unique(values).tolist()]


def test_rank_0s_weights_are_everybodys(hub):
    results = run_ranks(hub, 2, rank_of_own_weights)
    first = results[0][0]
    assert first != results[1][0]
    assert [each[1] for each in results] == [first] * 2
    assert [each[2] for each in results] == [[7]] * 2


def rank_of_resuming(kinds, folder):
    """Ten steps; then, with a new store, ten more from what rank 0 has saved."""
    contexts, results = [mx.cpu()], {}
    for kind in kinds:
        path = os.path.join(folder, f"{kind}{_rank()}")
        for part in range(2):
            net = _net(1 + part, contexts, kind)
            if part == 1:
                net.load_parameters(os.path.join(folder, f"{kind}0.net"))
            trainer = _trainer(net, kind, kvstore=mx.kv.create("phub"))
            if part == 1:
                trainer.load_states(path + ".states")  # Only rank 0 has one.
            for step in range(10 * part, 10 * part + 10):
                _step(net, trainer, _batch(step, _rank()), contexts)
            if part == 0 and _rank() == 0:
                net.save_parameters(path + ".net")
                trainer.save_states(path + ".states")
            trainer._kvstore.barrier()
        results[kind] = [_values(net), trainer.optimizer.num_update]
    return results


def test_training_resumes_from_saved_states(hub, tmp_path):
    kinds = ["momentum", "adam", "scheduled"]
    results = run_ranks(hub, RANKS, rank_of_resuming, kinds, str(tmp_path))
    assert results == [results[0]] * RANKS
    for kind in kinds:
        values, steps = results[0][kind]
        _expect_equal(values, _alone(kind, 20), BOUNDS[kind])
        assert steps == 20
