#!/usr/bin/env python3
"""Handwritten digits: python -m phub.launch -n 4 examples/mxnet/digits.py [--epochs N]

--kvstore dist_sync trains by MXNet's own servers instead, under MXNet's launcher.
"""
import argparse
import csv
import time
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

import phub.mxnet

DATA = Path(__file__).resolve().parent.parent / "digits" / "data" / "digits.csv"
BATCH = 64  # Of all ranks together.


def make_net():
    mx.random.seed(1)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(16, 3, activation="relu"), gluon.nn.Conv2D(32, 3, activation="relu"),
            gluon.nn.Flatten(), gluon.nn.Dense(64, activation="relu"), gluon.nn.Dense(10))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def read_data():
    """(pixels, labels) to train with, and to judge by."""
    with open(DATA, encoding="utf-8") as lines:
        rows = np.array([[float(word) for word in row] for row in csv.reader(lines)])
    np.random.RandomState(7).shuffle(rows)
    pixels, labels = (rows[:, :64] / 16).reshape(-1, 1, 8, 8).astype(np.float32), rows[:, 64]
    test = len(rows) // 5
    return (pixels[test:], labels[test:]), (pixels[:test], labels[:test])


def train(net, trainer, store, data, epochs):
    pixels, labels = data
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    order = np.random.RandomState(3)
    for _ in range(epochs):
        shuffled = order.permutation(len(labels))
        for begin in range(0, len(shuffled) - BATCH + 1, BATCH):
            mine = shuffled[begin:begin + BATCH][store.rank::store.num_workers]
            with autograd.record():
                loss = loss_of(net(mx.nd.array(pixels[mine])), mx.nd.array(labels[mine]))
            loss.backward()
            trainer.step(BATCH)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--kvstore", default="phub")
    arguments = parser.parse_args()
    store = mx.kv.create(arguments.kvstore)
    net = make_net()
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 2e-3}, kvstore=store)
    training, (pixels, labels) = read_data()
    begin = time.perf_counter()
    train(net, trainer, store, training, arguments.epochs)
    right = (net(mx.nd.array(pixels)).argmax(axis=1).asnumpy() == labels).mean()
    if store.rank == 0:
        print(f"{arguments.kvstore:10} {time.perf_counter() - begin:6.2f} s   "
              f"{100 * right:.1f} % of {len(labels)} unseen digits", flush=True)


if __name__ == "__main__":
    main()
