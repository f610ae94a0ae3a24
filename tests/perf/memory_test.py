#!/usr/bin/env python3
"""Goal: a hub takes the memory that its plan says, and nothing once a job runs.

Method: phub-perf's own figures of a real hub, for many small chunks (tables and rings), for three
ranks, and for an optimizer (weights and moments).

    memory_test.py PHUB_PERF PHUBD
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SLACK = 0.05


def measure(options):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.jsonl"
        command = [PHUB_PERF, "exchange", "--phubd", PHUBD, "--json", str(out), "--no-roof",
                   "--repeats", "1", "--rounds", "20", "--warmup", "3", *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(out.read_text())


class MemoryTest(unittest.TestCase):
    def check(self, *options):
        row = measure(options)
        took = row["hub_warm_bytes"] - row["hub_start_bytes"]
        plan = row["hub_plan_bytes"]
        self.assertLess(abs(took / plan - 1), SLACK, f"{options}: planned {plan}, took {took}")
        grew = row["hub_end_bytes"] - row["hub_warm_bytes"]
        self.assertLessEqual(grew, SLACK * plan, f"{options}: {grew} bytes more after 20 rounds")

    def test_tables_and_rings(self):
        self.check("--size", "16MiB", "--chunk-bytes", "1KiB", "--workers", "2")

    def test_default_chunks(self):
        self.check("--size", "64MiB", "--workers", "2")

    def test_ranks(self):
        self.check("--size", "16MiB", "--chunk-bytes", "4KiB", "--workers", "3")

    def test_optimizer(self):
        self.check("--model", "resnet18", "--optimizer", "adam", "--workers", "2")


if __name__ == "__main__":
    PHUB_PERF, PHUBD = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
