"""The programs that come with the package: phubd, phubctl and phub-perf."""
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn


def path(program: str) -> Path:
    """Where a program is. FileNotFoundError: this package was built without it."""
    found = Path(__file__).parent / "bin" / program
    if not found.exists():
        raise FileNotFoundError(f"{program}: not in this package ({found.parent})")
    return found


def _become(program: str) -> NoReturn:
    file = str(path(program))
    os.execv(file, [file, *sys.argv[1:]])


def phubd() -> NoReturn:
    """The hub."""
    _become("phubd")


def phubctl() -> NoReturn:
    """Shows and changes what a hub does."""
    _become("phubctl")


def phub_perf() -> NoReturn:
    """Measures exchanges of the gradients of real models."""
    _become("phub-perf")
