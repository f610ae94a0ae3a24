"""The messengers of one process group: everybody connected with everybody, and who is to blame."""
from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from datetime import timedelta
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import torch

from phub.errors import Aborted, Error, InvalidArgument, TimedOut, Unavailable
from phub.messenger import ANY_PEER, Messenger, Transfer

_SLICE = 0.05          # Between looks at who has died.
_GRACE = 1.0           # For the first death to show, where somebody left because of it.
_NOTICE_TAG = 1 << 62  # Who gives up tells the others why.
_NOTICE_BYTES = 2048

Pending = Tuple[int, Transfer, Optional[int]]  # With which rank; how many bytes must come.


class Mesh:
    """Connects the ranks of a group through the addresses that they put into its store.

    Ranks are the group's; errors name them as the whole job counts them (`global_ranks`). After the
    first failure everything raises it. Thread-safety: all of it, after construction.
    TimedOut: names the ranks that did not come.
    """

    def __init__(self, store: Any, rank: int, global_ranks: Sequence[int], name: str,
                 timeout: float):
        self.rank = rank
        self.size = len(global_ranks)
        self.global_ranks = list(global_ranks)
        self.name = name
        self._failure: Optional[Error] = None
        self._lock = threading.Lock()
        self._peers: Dict[int, int] = {}
        self._notices: List[Tuple[int, torch.Tensor, Transfer]] = []
        if self.size > 1:
            self._connect(store, timeout)

    def _connect(self, store: Any, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        if self.rank == 0:
            store.set("phub/secret", secrets.token_hex(16))
        secret = self._look_up(store, {0: "phub/secret"}, deadline)[0]
        self.messenger = Messenger("phub.torch", self.global_ranks[self.rank], secret=secret,
                                   listen=f"tcp://{_own_host()}:0", wait_timeout=timeout)
        store.set(f"phub/address/{self.rank}", self.messenger.address)
        lower = {other: f"phub/address/{other}" for other in range(self.rank)}
        addresses = self._look_up(store, lower, deadline)
        for other in range(self.size):
            if other != self.rank:
                self._peers[other] = self._join(other, addresses.get(other), deadline)
        for other, peer in self._peers.items():
            text = torch.zeros(_NOTICE_BYTES, dtype=torch.uint8)
            self._notices.append((other, text, self.messenger.receive(peer, _NOTICE_TAG, text)))

    def _look_up(self, store: Any, keys: Dict[int, str], deadline: float) -> Dict[int, str]:
        left = max(deadline - time.monotonic(), 0.001)
        try:
            if keys:
                store.wait(list(keys.values()), timedelta(seconds=left))
        except RuntimeError:
            missing = [other for other, key in keys.items() if not store.check([key])]
            raise TimedOut(f"{self._title()}: {self.text_of(missing)} did not come within "
                           f"{left:.3g} s") from None
        return {other: store.get(key).decode() for other, key in keys.items()}

    def _join(self, other: int, address: Optional[str], deadline: float) -> int:
        left = max(deadline - time.monotonic(), 0.0)
        try:
            if address is not None:
                return self.messenger.connect(address, left)
            return self.messenger.wait_for_peer(self.global_ranks[other], left)
        except Error as error:
            raise type(error)(f"{self._title()}: {self.text_of([other])}: {error}") from None

    def _title(self) -> str:
        return f'group "{self.name}"'

    def text_of(self, ranks: Iterable[int]) -> str:
        """"rank 3", "ranks 1, 2": as the whole job counts them."""
        numbers = [str(self.global_ranks[rank]) for rank in ranks]
        return ("rank " if len(numbers) == 1 else "ranks ") + ", ".join(numbers)

    def send(self, rank: int, tag: int, memory: torch.Tensor) -> Pending:
        """Starts to send a contiguous tensor; it is read until the transfer ends."""
        return rank, self.messenger.send(self._peers[rank], tag, as_bytes(memory)), None

    def receive(self, rank: int, tag: int, memory: torch.Tensor) -> Pending:
        """Starts to receive as many bytes as the contiguous tensor has. Rank ANY_PEER: of any."""
        flat = as_bytes(memory)
        peer = self._peers.get(rank, ANY_PEER)
        return rank, self.messenger.receive(peer, tag, flat), flat.numel()

    def source_of(self, pending: Pending) -> int:
        """The rank that a receive which has ended has heard from; -1: of sends, or nobody."""
        if pending[2] is None:
            return -1
        peer = pending[1].peer
        return next((rank for rank, known in self._peers.items() if known == peer), -1)

    def error_of_size(self, what: str, pending: Pending) -> Optional[Error]:
        """Why a receive that has ended well is none: it was of another size."""
        _, transfer, want = pending
        if want is None or transfer.bytes == want:
            return None
        return InvalidArgument(
            f"{what}: {self.text_of([self.source_of(pending)])} sent {transfer.bytes} bytes, want "
            f"{want}: shapes or types differ between ranks")

    def wait(self, what: str, pending: Sequence[Pending], deadline: float,
             beside: Sequence[Pending] = ()) -> None:
        """Returns when all have ended; raises with `what`, and who is to blame, and why.

        TimedOut: names all who are late, `beside` included. Unavailable: names who died.
        Aborted: another rank gave up; says why.
        """
        for rank, transfer, want in pending:
            try:
                while not transfer.wait_for(min(_SLICE, max(0.0, deadline - time.monotonic()))):
                    self.check(what)
                    if time.monotonic() >= deadline:
                        late = sorted({r for r, other, _ in (*pending, *beside)
                                       if not other.done()})
                        raise TimedOut(f"{what}: {self.text_of(late)} did not take part in time")
            except TimedOut:
                raise
            except Error as error:
                raise self.blame(what, rank, error) from None
            error = self.error_of_size(what, (rank, transfer, want))
            if error is not None:
                raise error

    def check(self, what: str) -> None:
        """Raises if the group has failed: here, at a rank that said so, or by a death."""
        if self._failure is not None:
            raise self._failure
        for rank, text, transfer in self._notices:
            if transfer.done() and transfer.error() is None:
                said = bytes(text[:transfer.bytes].tolist()).decode("utf-8", "replace")
                raise Aborted(f"{what}: {said} (said {self.text_of([rank])})")
        for rank, peer in self._peers.items():
            error = self.messenger.error_of(peer)
            if error is not None and not self.messenger.has_left(peer):
                raise Unavailable(f"{what}: {self.text_of([rank])} died: {error}")

    def blame(self, what: str, rank: int, error: Error, grace: float = _GRACE) -> Error:
        """The failure behind `error` of a transfer with `rank`, who may only have left because of
        another's death: that one has `grace` seconds to show."""
        if error is self._failure or not isinstance(error, Unavailable):
            return error if what in str(error) else self._about(what, rank, error)
        pause, end = threading.Event(), time.monotonic() + grace
        while True:
            try:
                self.check(what)
            except Error as first:
                return first
            if time.monotonic() >= end:
                return self._about(what, rank, error)
            pause.wait(0.01)

    def _about(self, what: str, rank: int, error: Error) -> Error:
        who = "" if rank == ANY_PEER else f"{self.text_of([rank])}: "
        return type(error)(f"{what}: {who}{error}")

    def fail(self, error: Error) -> None:
        """Everything raises `error` from now on, here and at all other ranks."""
        with self._lock:
            if self._failure is not None:
                return
            self._failure = error
        text = torch.tensor(list(str(error).encode()[:_NOTICE_BYTES]), dtype=torch.uint8)
        for peer in self._peers.values():
            try:
                self.messenger.send(peer, _NOTICE_TAG, text)
            except Error:
                pass  # Gone already.

    @property
    def failure(self) -> Optional[Error]:
        return self._failure

    def close(self) -> None:
        """Sends what is still to be sent, and leaves."""
        if self.size > 1:
            self.messenger.close()


def as_bytes(memory: torch.Tensor) -> torch.Tensor:
    """The bytes of a contiguous tensor of any type."""
    return memory.detach().reshape(-1).view(torch.uint8)


def _own_host() -> str:
    """PHUB_INTERFACE, or else this host's address on the way to MASTER_ADDR."""
    chosen = os.environ.get("PHUB_INTERFACE")
    if chosen:
        return chosen
    master = os.environ.get("MASTER_ADDR", "127.0.0.1")
    try:
        family, kind, _, _, address = socket.getaddrinfo(master, 9, socket.AF_INET,
                                                         socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # Sends nothing: only the route is looked up.
            return probe.getsockname()[0]
    except OSError:
        return "127.0.0.1"
