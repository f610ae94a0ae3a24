#!/usr/bin/env python3
"""A small transformer learns the documents of this repository, byte by byte:
python -m phub.launch -n 4 examples/pytorch/text.py [--steps N]"""
import argparse
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import ways

ROOT = Path(__file__).resolve().parent.parent.parent
BATCH = 32  # Of all ranks together.
CONTEXT = 64
WIDTH = 64


class Transformer(torch.nn.Module):
    """Predicts each next byte from those before it."""

    def __init__(self):
        super().__init__()
        self.bytes = torch.nn.Embedding(256, WIDTH)
        self.places = torch.nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        layer = torch.nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0,
                                                 batch_first=True, norm_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = torch.nn.Linear(WIDTH, 256)

    def forward(self, text):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(text.shape[1])
        hidden = self.bytes(text) + self.places[:text.shape[1]]
        return self.out(self.layers(hidden, mask=mask, is_causal=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    rank, size = ways.start()
    files = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
    text = torch.tensor(list(b"".join(file.read_bytes() for file in files)))

    def batches():
        generator = torch.Generator().manual_seed(5)
        for _ in range(arguments.steps):
            begins = torch.randint(len(text) - CONTEXT, (BATCH,), generator=generator)
            yield torch.stack([text[b:b + CONTEXT + 1] for b in begins[rank::size].tolist()])

    def loss_of(model, batch):
        logits = model(batch[:, :-1])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    def judge(model):
        words = list(b"The hub ")
        with torch.no_grad():
            for _ in range(40):
                words.append(model(torch.tensor([words[-CONTEXT:]]))[0, -1].argmax().item())
        return repr(bytes(words).decode(errors="replace"))

    is_same = ways.compare(Transformer, 3e-3, batches, loss_of, judge)
    dist.destroy_process_group()
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
