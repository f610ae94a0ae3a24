"""Starts a hub and its workers on this machine: python -m phub.launch -n 4 train.py [ARGUMENT]...

Each worker finds its hub, rank and number of ranks in the environment (PHUB_HUB, PHUB_RANK, ...;
also RANK, WORLD_SIZE and MASTER_ADDR, for torch.distributed). Under mpirun, srun or torchrun the
same script needs no launcher, only a hub: PHUB_HUB.

What workers print gets their rank in front. The first that fails stops all: its reason is printed,
and its exit status (128 + N where signal N killed it) is this program's.
"""
from __future__ import annotations

import argparse
import ctypes
import os
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, IO, List, Optional

from phub import programs

_READY_SECONDS = 30.0
# What the others get to raise their own errors, and then to obey SIGTERM.
_GRACE_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _shown_status(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    return f"was killed by {signal.Signals(-code).name}"


class _Child:
    """A process with a name; its last lines are kept for the reason of its end."""

    def __init__(self, name: str, command: List[str], environment: Dict[str, str],
                 pass_fds: tuple = (), stdout: int = subprocess.PIPE):
        self.name = name
        self.last_line = ""
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=stdout, stderr=subprocess.PIPE,
                                        pass_fds=pass_fds, preexec_fn=_die_with_parent)

    def reason(self) -> str:
        text = f"{self.name} (process {self.process.pid}) {_shown_status(self.process.returncode)}"
        return f"{text}; its last line: {self.last_line}" if self.last_line else text


class _Screen:
    """Lines of all children, each with its name, above one line that says how far things are."""

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self._has_line = sys.stderr.isatty() and not quiet
        self._is_shown = False

    def write(self, name: str, line: str, stream: IO[str]) -> None:
        self.clear()
        print(f"[{name}] {line}", file=stream, flush=True)

    def say(self, text: str) -> None:
        if not self._quiet:
            self.clear()
            print(f"phub.launch: {text}", file=sys.stderr, flush=True)

    def progress(self, text: str) -> None:
        if self._has_line:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            self._is_shown = True

    def clear(self) -> None:
        if self._is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False


class _Lines:
    """The pipes of all children, line by line."""

    def __init__(self, screen: _Screen):
        self._screen = screen
        self._selector = selectors.DefaultSelector()

    def add(self, child: _Child) -> None:
        for pipe, stream in ((child.process.stdout, sys.stdout),
                             (child.process.stderr, sys.stderr)):
            if pipe is None:
                continue
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, [child, stream, b""])

    def pump(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            child, stream, rest = key.data
            data = os.read(key.fd, 1 << 16)
            lines = (rest + data).split(b"\n")
            if not data:
                self._selector.unregister(key.fileobj)
                lines = [rest, b""] if rest else [b""]
            key.data[2] = lines.pop()
            for line in lines:
                text = line.decode(errors="replace")
                child.last_line = text if text.strip() else child.last_line
                self._screen.write(child.name, text, stream)

    def is_open(self) -> bool:
        return bool(self._selector.get_map())


def _start_hub(folder: Path, arguments: argparse.Namespace) -> tuple:
    """The hub and its address."""
    address = f"shm://{folder}/hub.sock"
    reader, writer = os.pipe()
    command = [str(programs.path("phubd")), "--listen", address, "--http", "off", "--log-level",
               "warning", "--ready-fd", str(writer), *arguments.hub_option]
    hub = _Child("hub", command, dict(os.environ), (writer,), subprocess.DEVNULL)
    os.close(writer)
    with selectors.DefaultSelector() as selector, open(reader, "rb") as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        is_ready = bool(selector.select(_READY_SECONDS)) and bool(pipe.readline())
    if is_ready:
        return hub, address
    hub.process.terminate()
    said = hub.process.communicate()[1].decode(errors="replace").strip()
    sys.exit(f"phub.launch: the hub did not become ready within {_READY_SECONDS:.0f} s: {said}")


def _command(arguments: argparse.Namespace) -> List[str]:
    program = [arguments.program, *arguments.arguments]
    if arguments.module:
        return [sys.executable, "-u", "-m", *program]
    if arguments.program.endswith(".py"):
        return [sys.executable, "-u", *program]
    return program


def _environment(arguments: argparse.Namespace, hub: str, rank: int, port: int) -> Dict[str, str]:
    environment = dict(os.environ)
    environment.pop("PHUB_SECRET_FILE", None)
    if arguments.workers > 1:
        environment.setdefault("OMP_NUM_THREADS", "1")
    environment.setdefault("PHUB_JOB", "launch")
    environment.update({
        "PHUB_HUB": hub, "PHUB_SECRET": arguments.secret, "PHUB_RANK": str(rank),
        "PHUB_SIZE": str(arguments.workers), "RANK": str(rank), "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(arguments.workers), "LOCAL_WORLD_SIZE": str(arguments.workers),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    return environment


class _Gang:
    """The hub and all workers, until all have ended."""

    def __init__(self, hub: Optional[_Child], workers: List[_Child], screen: _Screen,
                 lines: _Lines):
        self._hub = hub
        self._workers = workers
        self._screen = screen
        self._lines = lines
        self._started = time.monotonic()
        self.signal = 0

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _failed(self) -> Optional[_Child]:
        ended = [w for w in self._workers if w.process.poll() not in (None, 0)]
        if ended:
            return ended[0]
        return self._hub if self._hub and self._hub.process.poll() is not None else None

    def _running(self) -> List[_Child]:
        return [w for w in self._workers if w.process.poll() is None]

    def run(self) -> int:
        """The exit status of the whole."""
        while self._running():
            self._lines.pump(0.1)
            running = len(self._running())
            self._screen.progress(f"{running} of {len(self._workers)} workers, "
                                  f"{self._seconds():.0f} s")
            failed = self._failed()
            if self.signal or failed:
                return self._stop(failed)
        self._drain()
        failed = next((w for w in self._workers if w.process.returncode), None)
        if failed:
            return self._report(failed)
        self._screen.say(f"{len(self._workers)} workers ended well after {self._seconds():.1f} s")
        return 0

    def _report(self, failed: _Child) -> int:
        self._screen.say(f"{failed.reason()} after {self._seconds():.1f} s")
        code = failed.process.returncode
        return code if code > 0 else 128 - code if code < 0 else 1

    def _stop(self, failed: Optional[_Child]) -> int:
        if failed is None:
            self._screen.say(f"{signal.Signals(self.signal).name}: ending all")
            status = 128 + self.signal
        else:
            self._pump_until(0.2, lambda: False)  # Its last words.
            status = self._report(failed)
            self._pump_until(_GRACE_SECONDS, lambda: not self._running())
        for name in (signal.SIGTERM, signal.SIGKILL):
            for worker in self._running():
                worker.process.send_signal(name)
            self._pump_until(_GRACE_SECONDS, lambda: not self._running())
        self._drain()
        return status

    def _pump_until(self, seconds: float, is_over) -> None:
        deadline = time.monotonic() + seconds
        while not is_over() and time.monotonic() < deadline:
            self._lines.pump(0.05)

    def _drain(self) -> None:
        """What the workers have said; the hub's pipe stays open, so no end is waited for."""
        self._lines.pump(0)
        self._pump_until(0.05, lambda: not self._lines.is_open())
        self._screen.clear()

    def end_hub(self) -> None:
        if self._hub and self._hub.process.poll() is None:
            self._hub.process.terminate()
            try:
                self._hub.process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._hub.process.kill()
                self._hub.process.wait()


def _parse(words: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m phub.launch", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--workers", type=int, required=True, help="how many")
    parser.add_argument("-m", "--module", action="store_true",
                        help="PROGRAM is a Python module, as with python -m")
    parser.add_argument("--hub", help="the address of a hub that runs already; none is started")
    parser.add_argument("--hub-option", action="append", default=[], metavar="OPTION",
                        help="an option for phubd, such as --hub-option=--shards=2; repeatable")
    parser.add_argument("-q", "--quiet", action="store_true", help="print what workers print only")
    parser.add_argument("program", help="train.py, or any program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own")
    arguments = parser.parse_args(words)
    if not 1 <= arguments.workers <= 1024:
        parser.error(f"argument -n: {arguments.workers} workers; want 1 to 1024")
    arguments.secret = os.environ.get("PHUB_SECRET") or secrets.token_hex(16)
    return arguments


def main(words: Optional[List[str]] = None) -> int:
    """Runs all of it; returns the exit status."""
    arguments = _parse(words)
    screen = _Screen(arguments.quiet)
    lines = _Lines(screen)
    folder = Path(tempfile.mkdtemp(prefix="phub-launch."))
    hub: Optional[_Child] = None
    gang: Optional[_Gang] = None
    try:
        address = arguments.hub
        if address is None:
            hub, address = _start_hub(folder, arguments)
            lines.add(hub)
        workers: List[_Child] = []
        gang = _Gang(hub, workers, screen, lines)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda number, frame: setattr(gang, "signal", number))
        port = _free_port()
        for rank in range(arguments.workers):
            environment = _environment(arguments, address, rank, port)
            workers.append(_Child(f"rank {rank}", _command(arguments), environment))
            lines.add(workers[-1])
        screen.say(f"{arguments.workers} workers, hub {address}")
        return gang.run()
    finally:
        if gang is not None:
            gang.end_hub()
        elif hub is not None:
            hub.process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
