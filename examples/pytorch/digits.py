#!/usr/bin/env python3
"""Handwritten digits: python -m phub.launch -n 4 examples/pytorch/digits.py [--epochs N]"""
import argparse
import csv
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import ways

DATA = Path(__file__).resolve().parent.parent / "digits" / "data" / "digits.csv"
BATCH = 64  # Of all ranks together.


def make_model():
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8, 8)), torch.nn.Conv2d(1, 16, 3), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(32 * 4 * 4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    rank, size = ways.start()
    with open(DATA, encoding="utf-8") as lines:
        rows = torch.tensor([[float(word) for word in row] for row in csv.reader(lines)])
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(7))]
    pixels, labels = rows[:, :64] / 16, rows[:, 64].long()
    test = len(rows) // 5

    def batches():
        generator = torch.Generator().manual_seed(3)
        for _ in range(arguments.epochs):
            order = test + torch.randperm(len(rows) - test, generator=generator)
            for batch in order.split(BATCH):
                if len(batch) == BATCH:
                    yield batch[rank::size]

    def loss_of(model, batch):
        return torch.nn.functional.cross_entropy(model(pixels[batch]), labels[batch])

    def judge(model):
        with torch.no_grad():
            right = (model(pixels[:test]).argmax(1) == labels[:test]).float().mean()
        return f"{100 * right:.1f} % of {test} unseen digits"

    is_same = ways.compare(make_model, 2e-3, batches, loss_of, judge)
    dist.destroy_process_group()
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
