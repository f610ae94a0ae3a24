"""Goal: the store's verbs on single keys mean what MXNet's mean; what the hub has not is refused
with a sentence; who fails is named.

Method: real ranks call one verb after the other, and report what they got or were told.
"""
import os
import signal

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

import phub
import phub.mxnet
from gang import run_ranks, start_ranks


def rank_of_verbs():
    store = mx.kv.create("phub")
    ones, seen = mx.nd.ones((2, 3)), []
    out = [mx.nd.zeros((2, 3)), mx.nd.zeros((2, 3), ctx=mx.cpu(1))]

    def see():
        assert (out[0] == out[1]).asnumpy().all()
        seen.append(float(out[0].asnumpy().min()))

    store.broadcast("w", ones * (store.rank + 5), out)
    see()                                               # 5
    store.pull("w", out)
    see()                                               # 5
    store.pushpull("w", [ones * (store.rank + 1), ones], out)
    see()                                               # (1 + 1) + (2 + 1)
    store.push("w", ones)
    store.push("w", ones * 2)
    store.pull("w", out)
    see()                                               # 2 + 2
    store.pull("w", out)
    see()                                               # The same again.
    store.init(7, ones)
    in_place = ones * (store.rank + 1)
    store.pushpull([7, "w"], [in_place, ones], [out, [ones]])
    see()                                               # 1 + 2, with a new key: a new epoch
    store.pushpull(7, in_place)
    seen.append(float(in_place.asnumpy().max()))        # 1 + 2
    store.pull("w", out)                                # Its result is of the epoch before.
    see()                                               # 1 + 1
    numbers = mx.nd.array([2 ** 40 + store.rank], dtype="int64")
    store.pushpull("count", numbers)
    store.barrier()
    return [seen, int(numbers.asscalar()), store.rank, store.num_workers,
            store.is_capable("optimizer")]


def test_verbs_mean_what_mxnets_mean(hub):
    for rank, result in enumerate(run_ranks(hub, 2, rank_of_verbs)):
        assert result == [[5, 5, 5, 4, 4, 3, 3, 2], 2 ** 41 + 1, rank, 2, True]


def rank_of_large_values(sizes):
    """Through the pipe in pieces of several sizes; every bit arrives."""
    store = mx.kv.create("phub")
    same = []
    for size in sizes:
        value = mx.nd.array(np.random.RandomState(size + store.rank).randn(size), dtype="float32")
        out = mx.nd.zeros(size)
        store.broadcast(str(size), value, out)
        want = np.random.RandomState(size).randn(size).astype(np.float32)
        same.append(bool((out.asnumpy() == want).all()))
    return same


def test_broadcasts_of_any_size_arrive(hub):
    sizes = [1, 1000, 1024, 1025, 40000, (1 << 20) + 17]
    assert run_ranks(hub, 2, rank_of_large_values, sizes) == [[True] * len(sizes)] * 2


def rank_of_misuse():
    store, said = mx.kv.create("phub"), []
    ones = mx.nd.ones(3)

    def fails(call):
        try:
            call()
            said.append("nothing")
        except (phub.Error, ValueError) as error:
            said.append(str(error))

    for kind in ({"type": "2bit", "threshold": 0.5}, {"type": "1bit"}):
        fails(lambda: store.set_gradient_compression(kind))
    fails(lambda: store.set_optimizer(mx.optimizer.RMSProp()))
    fails(lambda: store.set_optimizer(mx.optimizer.SGD(clip_gradient=1)))
    store.set_gradient_compression({"type": "fp16"})
    fails(lambda: store.set_optimizer(mx.optimizer.SGD()))
    fails(lambda: store.save_optimizer_states("/nowhere"))
    fails(lambda: store.pull("unknown", ones))
    fails(lambda: store.push("a", ones.tostype("row_sparse")))
    fails(lambda: store.pushpull("a", [ones, mx.nd.ones(4)]))
    fails(lambda: store.pushpull("a", ones.astype("uint8")))
    store.pushpull("a", ones)
    fails(lambda: store.pushpull("a", mx.nd.ones(4)))
    fails(lambda: store.set_gradient_compression({"type": "none"}))
    fails(lambda: store.is_capable("flying"))
    trained = mx.kv.create("phub")
    trained.set_optimizer(mx.optimizer.SGD())
    fails(lambda: trained.pushpull("b", ones))
    trained.broadcast("b", ones)
    fails(lambda: trained.load_optimizer_states("/nowhere/at all"))
    return said


def test_misuse_is_told(hub):
    said, = run_ranks(hub, 1, rank_of_misuse)
    parts = ["{'type': '2bit', 'threshold': 0.5}: the hub has", "1bit", "rmsprop at the hub",
             "clip_gradient=1", "in 16 bits, too", "call set_optimizer first", "unknown",
             "row_sparse", "the same on all devices", "uint8", "keeps its type and shape",
             "pushed already", "flying", "no weights to step from", "rank 0 could not read"]
    for text, part in zip(said, parts, strict=True):
        assert part in text


def rank_that_trains_on(at_hub, doomed):
    net = gluon.nn.Dense(3, in_units=4)
    net.initialize()
    store = mx.kv.create("phub")
    trainer = gluon.Trainer(net.collect_params(), "adam", kvstore=store, update_on_kvstore=at_hub)
    for step in range(1000):
        if step == 3:
            print("ready", flush=True)
            if store.rank == doomed:
                signal.pause()
        with autograd.record():
            loss = net(mx.nd.ones((2, 4))).sum()
        loss.backward()
        try:
            trainer.step(2)
        except phub.Error as error:
            return [error.code, error.rank, error.tensor]
    return "no error"


@pytest.mark.parametrize("at_hub", [True, False], ids=["hub", "workers"])
def test_step_names_a_killed_rank(hub, at_hub):
    ranks = start_ranks(hub, 3, rank_that_trains_on, at_hub, 1)
    assert [rank.line() for rank in ranks] == ["ready"] * 3
    ranks[1].kill()
    for rank in (ranks[0], ranks[2]):
        assert rank.finish(20) == ["aborted", 1, "mxnet0.0"]
    ranks[1].finish(20)


def test_step_names_a_killed_hub(hub):
    ranks = start_ranks(hub, 2, rank_that_trains_on, True, 1)
    assert [rank.line() for rank in ranks] == ["ready"] * 2
    hub.kill()
    assert ranks[0].finish(20)[0] == "unavailable"
    ranks[1].kill()
    ranks[1].finish(20)
