"""Goal: phub.Messenger sends arrays of any kind, in order, and names who is gone.

Method: two messengers in one process; a peer that closes; a forked child.
"""
import os

import numpy as np
import pytest

import phub


@pytest.fixture
def pair():
    with phub.Messenger("test", 1, secret="s", wait_timeout=20) as first, \
            phub.Messenger("test", 2, secret="s", wait_timeout=20) as second:
        peer = first.connect(second.address)
        yield first, peer, second, second.wait_for_peer(1)


@pytest.mark.parametrize("count", [0, 1, 100, 3_000_000])
def test_parts_arrive_one_after_another(pair, count):
    first, peer, second, back = pair
    numbers = np.arange(count, dtype=np.float32)
    sending = first.send(peer, 7, numbers, b"end")
    memory = np.zeros(4 * count + 3, np.uint8)
    receiving = second.receive(back, 7, memory)
    receiving.wait()
    sending.wait()
    assert (receiving.bytes, receiving.peer) == (4 * count + 3, back)
    assert memory[:-3].tobytes() == numbers.tobytes() and memory[-3:].tobytes() == b"end"


def test_messages_of_a_tag_keep_their_order(pair):
    first, peer, second, back = pair
    rows = np.zeros((100, 4), np.int32)
    transfers = [second.receive(back, 1 + n % 2, rows[n]) for n in range(100)]
    for n in range(100):
        first.send(peer, 1 + n % 2, np.full(4, n, np.int32))
    for transfer in transfers:
        transfer.wait()
    assert rows[:, 0].tolist() == list(range(100))


def test_late_cancelled_and_too_long(pair):
    first, peer, second, back = pair
    memory = np.zeros(4, np.uint8)
    receiving = second.receive(back, 9, memory)
    assert not receiving.wait_for(0.01) and not receiving.done()
    with pytest.raises(phub.TimedOut, match="peer 1"):
        receiving.wait(0.01)
    assert receiving.cancel() and isinstance(receiving.error(), phub.Aborted)
    receiving = second.receive(back, 9, memory)
    first.send(peer, 9, b"longer")
    with pytest.raises(phub.InvalidArgument):
        receiving.wait()
    with pytest.raises(phub.InvalidArgument, match="writable"):
        second.receive(back, 9, b"read only")


def test_a_peer_that_leaves_is_named(pair):
    first, peer, second, back = pair
    ended = []
    receiving = first.receive(peer, 1, np.zeros(4, np.uint8))
    receiving.call_when_done(ended.append)
    second.close()
    with pytest.raises(phub.Unavailable, match="peer 2 .*has left"):
        receiving.wait()
    assert first.has_left(peer) and isinstance(first.error_of(peer), phub.Unavailable)
    assert first.peers() == []
    first.close()  # Joins the thread that calls back.
    assert len(ended) == 1 and isinstance(ended[0], phub.Unavailable)


def test_secrets_must_agree():
    with phub.Messenger("test", 1, secret="a") as first, \
            phub.Messenger("test", 2, secret="b") as second:
        with pytest.raises(phub.PermissionDenied):
            first.connect(second.address, 10)


def test_a_forked_child_may_not_use_it(pair):
    first, peer, second, back = pair
    child = os.fork()
    if child == 0:
        try:
            first.send(peer, 1, b"x")
        except phub.FailedPrecondition:
            first.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    memory = np.zeros(1, np.uint8)
    receiving = second.receive(back, 1, memory)
    first.send(peer, 1, b"y")
    receiving.wait()
    assert memory.tobytes() == b"y"
