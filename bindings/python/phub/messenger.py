"""Messages between processes, of any size: everybody to everybody, without a hub."""
from __future__ import annotations

from types import TracebackType
from typing import Any, Callable, List, Optional, Sequence, Type

from phub import _core, lifetime
from phub.errors import Error

ANY_PEER = 0xFFFFFFFF
NUMBER_MAX = 1023


class Transfer:
    """A send or a receive under way. May be dropped without waiting: it goes on."""

    __slots__ = ("_core", "_timeout")

    def __init__(self, core: Any, timeout: float):
        self._core = core
        self._timeout = timeout

    @property
    def peer(self) -> int:
        """Of a receive that has ended: who sent the message."""
        return self._core.peer

    @property
    def bytes(self) -> int:
        """Of a receive that has ended: how long the message was."""
        return self._core.bytes

    def wait(self, timeout: Optional[float] = None) -> None:
        """Returns when it has ended. A send's memory is the caller's again, a receive's is filled.

        timeout: seconds; None: the Messenger's wait_timeout.
        TimedOut: names whom it waits for; it goes on. Unavailable: the peer is gone; says who and
        why. InvalidArgument: the message was longer than the memory for it, and is dropped.
        """
        self._core.wait(self._timeout if timeout is None else timeout)

    def wait_for(self, timeout: float) -> bool:
        """As wait(), but False where it has not ended after `timeout` seconds."""
        return self._core.wait_for(timeout)

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._core.done()

    def error(self) -> Optional[Error]:
        """What wait() would raise; None while it goes on, or if it ended well."""
        return self._core.error()

    def cancel(self) -> bool:
        """Withdraws a receive that no message has come for: True; its memory is free again."""
        return self._core.cancel()

    def call_when_done(self, function: Callable[[Optional[Error]], Any]) -> None:
        """Calls function(error or None) once, when it has ended: at once if it has.

        On the thread that noticed: often the library's, which must not be blocked.
        """
        self._core.call_when_done(function)


class Messenger:
    """Sends messages to, and receives them from, others of the same name and secret.

    Messages from one peer with one tag arrive in the order of sending, each once. A large one waits
    at its sender until the receiver has a place for it; its bytes are then put there directly. On
    one host they go through shared memory, else over TCP. A context manager that leaves.

    name, secret   only messengers that agree on both talk
    number         what peers call this one, 0 to 1023: a rank, say
    listen         tcp://HOST:PORT (port 0: any; HOST may be an interface), shm://PATH, or several
                   with commas between; "": it only connects
    advertise      the host in `address`, where it is not the one of `listen`
    shared_memory  False: none, on one host either
    peer_timeout   seconds of silence that count as death
    wait_timeout   seconds for every wait that names no other
    linger         seconds that close() waits for what is still to be sent

    Any thread may call anything. After a fork the child may not use it: FailedPrecondition. A peer
    that dies or leaves ends the transfers with it with Unavailable, which names it; others go on.
    InvalidArgument: malformed options. AlreadyExists, Unavailable: cannot listen there.
    """

    def __init__(self, name: str = "messenger", number: int = 0, *, secret: str = "",
                 listen: str = "tcp://127.0.0.1:0", advertise: str = "",
                 shared_memory: bool = True, peer_timeout: float = 5.0,
                 wait_timeout: float = 60.0, linger: float = 2.0):
        self._core = _core.open_messenger(
            name=name, number=number, secret=secret, listen=listen, advertise=advertise,
            shared_memory=shared_memory, peer_timeout=peer_timeout, linger=linger)
        self._timeout = wait_timeout
        lifetime.track(self)

    def __enter__(self) -> Messenger:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What peers connect to; empty: it does not listen."""
        return self._core.address

    @property
    def is_closed(self) -> bool:
        """Whether close() was called, or this process is a fork of the one that opened it."""
        return self._core.is_closed or self._core.is_foreign

    def connect(self, address: str, timeout: Optional[float] = None) -> int:
        """Connects, trying until somebody listens there; returns the peer.

        TimedOut: nobody did; says why not. PermissionDenied: another secret. InvalidArgument:
        malformed address, or another name.
        """
        return self._core.connect(address, self._timeout if timeout is None else timeout)

    def wait_for_peer(self, number: int, timeout: Optional[float] = None) -> int:
        """The peer of that number, whoever connected; waits until it is there."""
        return self._core.wait_for_peer(number, self._timeout if timeout is None else timeout)

    def number_of(self, peer: int) -> int:
        """The number that the peer gave itself."""
        return self._core.number_of(peer)

    def describe(self, peer: int) -> str:
        """Such as "peer 3 (process 4711 on node7, shm)"."""
        return self._core.describe(peer)

    def error_of(self, peer: int) -> Optional[Error]:
        """Why the peer is gone; None: it is there."""
        return self._core.error_of(peer)

    def has_left(self, peer: int) -> bool:
        """True: it said so; False: it is there, or it died."""
        return self._core.has_left(peer)

    def peers(self) -> List[int]:
        """Those that are there."""
        return self._core.peers()

    def disconnect(self, peer: int) -> None:
        """Ends the connection at once, and its transfers with it."""
        self._core.disconnect(peer)

    def send(self, peer: int, tag: int, *parts: Any) -> Transfer:
        """Starts to send up to 8 arrays as one message; they are read until the transfer ends.

        parts: C-contiguous arrays in CPU memory, of any type, by DLPack or the buffer protocol.
        InvalidArgument: no such peer, too many parts. Unavailable: it is gone.
        """
        return self._start(self._core.send(peer, tag, parts))

    def receive(self, peer: int, tag: int, memory: Any) -> Transfer:
        """Starts to receive the next message with this tag, of this peer or ANY_PEER.

        memory: a writable C-contiguous array that all parts fit into, one after another; the
        message may be shorter (Transfer.bytes).
        """
        return self._start(self._core.receive(peer, tag, memory))

    def _start(self, core: Any) -> Transfer:
        return Transfer(core, self._timeout)

    def close(self) -> None:
        """Sends what is still to be sent, up to `linger` seconds, and leaves. Twice is allowed.

        Transfers under way end with Aborted.
        """
        if self._core.is_foreign:
            return
        lifetime.forget(self)
        self._core.close()
