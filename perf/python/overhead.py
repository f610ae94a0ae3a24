#!/usr/bin/env python3
"""What Python adds to one push_pull of 32 KiB: the same loop in C++ and in Python, taking turns.

    overhead.py PUSH_PULL_BENCH [--rounds N] [--repeats N]

One rank and one hub over shared memory; medians of rounds, then of repeats. "thread" and "caller"
are who moves the bytes (Worker's progress); Python's own choice is "thread", C++'s "caller".
Exit status 1 where a sum was wrong.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import phub
from phub import programs

COUNT = 8192
BAR_US = 20


def python_us(address, job, progress, rounds, kind):
    """The median of a round, in microseconds."""
    with phub.Worker(address, job=job, rank=0, size=1, progress=progress) as worker:
        memory = np.asarray(worker.allocate(COUNT))
        memory[:] = 3
        tensor, = worker.register_tensors([phub.TensorSpec("t", COUNT)])
        if kind == "torch":
            import torch
            memory = torch.from_numpy(memory)
        times = []
        for _ in range(rounds):
            begin = time.perf_counter_ns()
            array = worker.push_pull(tensor, memory).wait()
            times.append((time.perf_counter_ns() - begin) / 1000)
        if not (np.asarray(array) == 3).all():
            sys.exit("overhead.py: a sum is wrong")
        return statistics.median(times)


def cpp_us(bench, address, job, progress, rounds):
    environment = {**os.environ, "PHUB_HUB": address, "PHUB_JOB": job, "PHUB_RANK": "0",
                   "PHUB_SIZE": "1", "PHUB_PROGRESS": progress}
    return float(subprocess.run([bench, str(rounds)], env=environment, check=True,
                                stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        address = f"shm://{folder}/hub.sock"
        reader, writer = os.pipe()
        hub = subprocess.Popen([str(programs.path("phubd")), "--listen", address, "--http", "off",
                                "--log-level", "error", "--shards", "1", "--ready-fd",
                                str(writer)], pass_fds=(writer,),
                               stdout=subprocess.DEVNULL)
        os.close(writer)
        with open(reader, "rb") as ready:
            ready.readline()
        try:
            measure(arguments, address)
        finally:
            hub.terminate()
            hub.wait()


def measure(arguments, address):
    print(f"{'progress':10} {'C++ (us)':>9} {'numpy (us)':>11} {'torch (us)':>11} "
          f"{'above C++':>10}   bar: {BAR_US} us")
    for progress in ("thread", "caller"):
        times = {"cpp": [], "numpy": [], "torch": []}
        for repeat in range(arguments.repeats):
            for kind, values in times.items():
                job = f"{progress}-{kind}-{repeat}"
                values.append(
                    cpp_us(arguments.bench, address, job, progress, arguments.rounds)
                    if kind == "cpp" else
                    python_us(address, job, progress, arguments.rounds, kind))
        cpp, numpy, torch = (statistics.median(values) for values in times.values())
        print(f"{progress:10} {cpp:9.1f} {numpy:11.1f} {torch:11.1f} "
              f"{max(numpy, torch) - cpp:10.1f}")


if __name__ == "__main__":
    main()
