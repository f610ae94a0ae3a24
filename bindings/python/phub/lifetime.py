"""What must be closed before Python ends, and is not to be touched in a forked child."""
from __future__ import annotations

import atexit
import os
import weakref
from typing import Any

from phub import _core

_open: "weakref.WeakSet[Any]" = weakref.WeakSet()

track = _open.add
forget = _open.discard


def _close_all() -> None:
    for one in list(_open):
        one.close()
    _core.end()


# What a child inherits is its parent's: not to be touched, not even by closing it.
os.register_at_fork(after_in_child=_open.clear)
atexit.register(_close_all)
