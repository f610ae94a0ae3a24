"""Real hubs and real ranks for the tests: every rank is a process that calls one function.

    results = run_ranks(hub, 2, rank_of_my_test, 17)     # rank_of_my_test(17) in two processes

The function finds its hub and rank in the environment, and returns what JSON can carry.
"""
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from phub import programs

READY_SECONDS = 30
FOLDER = Path(__file__).parent


class Hub:
    """A phubd of its own, at a socket in a folder of its own."""

    def __init__(self, *options):
        self._folder = tempfile.TemporaryDirectory(prefix="phub-test.")
        self.address = f"shm://{self._folder.name}/hub.sock"
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [str(programs.path("phubd")), "--listen", self.address, "--http", "off", "--log-level",
             "error", "--shards", "1", "--ready-fd", str(writer), *options], pass_fds=(writer,))
        os.close(writer)
        with open(reader, "rb") as ready:
            assert ready.readline(), "phubd did not become ready"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(READY_SECONDS)
        self._folder.cleanup()


class Rank:
    """One rank's process."""

    def __init__(self, hub, rank, size, function, arguments, environment):
        call = json.dumps([function.__module__, function.__qualname__, arguments])
        self._answer, answer = os.pipe()
        paths = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1",
                     "PHUB_HUB": hub.address if hub else "", "PHUB_SECRET": "test secret",
                     "PHUB_RANK": str(rank), "PHUB_SIZE": str(size),
                     "PHUB_JOIN_TIMEOUT_MS": "30000", "PHUB_WAIT_TIMEOUT_MS": "30000",
                     **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import gang; gang.be_rank({call!r}, {answer})"],
            env=variables, pass_fds=(answer,), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True)
        os.close(answer)
        self.output = ""

    def line(self):
        """The next line that it prints."""
        return self.process.stdout.readline().rstrip("\n")

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def finish(self, seconds):
        """What its function returned; None if the process ended before it did."""
        try:
            self.output = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.output = self.process.communicate()[0]
            raise AssertionError(f"a rank did not end within {seconds} s: {self.output}") from None
        with open(self._answer, "rb") as pipe:
            answer = pipe.read()
        return json.loads(answer) if answer else None


def be_rank(call, answer):
    """What a rank's process does."""
    module, name, arguments = json.loads(call)
    try:
        result = getattr(importlib.import_module(module), name)(*arguments)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    with open(answer, "w", encoding="utf-8") as pipe:
        json.dump(result, pipe)


def start_ranks(hub, size, function, *arguments, environment=None):
    """Starts `size` processes that call function(*arguments); hub: None where they need none."""
    return [Rank(hub, rank, size, function, arguments, environment or {}) for rank in range(size)]


def run_ranks(hub, size, function, *arguments, seconds=60, environment=None):
    """What function(*arguments) returned in each rank; all must end well."""
    ranks = start_ranks(hub, size, function, *arguments, environment=environment)
    watch = threading.Thread(target=_stop_all_with_the_first, args=(ranks,))
    watch.start()
    results = [rank.finish(seconds) for rank in ranks]
    watch.join()
    failed = [f"rank {n}: status {r.process.returncode}: {r.output}" for n, r in enumerate(ranks)
              if r.process.returncode != 0]
    assert not failed, "\n".join(failed)
    return results


def _stop_all_with_the_first(ranks):
    """The others would wait for a rank that has failed until their own deadlines."""
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            selector.register(os.pidfd_open(rank.process.pid), selectors.EVENT_READ, rank)
        while selector.get_map():
            for key, _ in selector.select():
                selector.unregister(key.fd)
                os.close(key.fd)
                if key.data.process.wait() != 0:
                    for rank in ranks:
                        rank.kill()
