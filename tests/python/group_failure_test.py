"""Goal: whoever dies, is late, leaves or disagrees is named by every survivor, in time.

Method: real ranks of a group; one is killed (-9), stays away, ends, or calls with another shape.
"""
import os
import signal
import sys
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

import phub
import phub.torch
from gang import run_ranks, start_ranks

SIZE = 4


def _start(path, seconds=30.0):
    dist.init_process_group("phub", init_method=f"file://{path}",
                            rank=int(os.environ["PHUB_RANK"]),
                            world_size=int(os.environ["PHUB_SIZE"]),
                            timeout=timedelta(seconds=seconds))


def _said(call):
    try:
        call()
    except phub.Error as error:
        return [type(error).__name__, error.rank, str(error)]
    except RuntimeError as error:  # What futures of torch make of any.
        return ["RuntimeError", None, str(error)]
    return ["no error", None, ""]


CALLS = {
    "small": lambda: dist.all_reduce(torch.ones(10)),
    "large": lambda: dist.all_reduce(torch.ones(4_000_000)),
    "barrier": dist.barrier,
    "receive": lambda: dist.recv(torch.zeros(10), 2),
    "receive from a third": lambda: dist.recv(torch.zeros(10), (dist.get_rank() + 2) % 4 or 1),
    "any": lambda: dist.recv(torch.zeros(10)),
    "future": lambda: dist.all_reduce(torch.ones(10), async_op=True).get_future().wait(),
}


def rank_of_death(path, call):
    _start(path)
    dist.barrier()
    print("ready", flush=True)
    if dist.get_rank() == 2:
        signal.pause()
    said = _said(CALLS[call])
    # And from then on, at once.
    return [said, _said(dist.barrier)]


@pytest.mark.parametrize("call", CALLS)
def test_a_killed_rank_is_named_by_all(tmp_path, call):
    ranks = start_ranks(None, SIZE, rank_of_death, str(tmp_path / "store"), call)
    for rank in ranks:
        assert rank.line() == "ready"
    ranks[2].kill()
    for number in (0, 1, 3):
        first, second = ranks[number].finish(20)
        for said in (first, second):
            assert "rank 2 died" in said[2], said
            assert said[:2] in (["Unavailable", 2], ["Aborted", 2], ["RuntimeError", None]), said
    ranks[2].finish(20)


def rank_that_dies_in_training(path):
    _start(path)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(10, 10))
    for step in range(100_000):
        if step == 2:
            print("ready", flush=True)
        try:
            model(torch.ones(2, 10)).sum().backward()
        except RuntimeError as error:
            return str(error)
    return "no error"


def test_backward_names_a_killed_rank(tmp_path):
    ranks = start_ranks(None, SIZE, rank_that_dies_in_training, str(tmp_path / "store"))
    for rank in ranks:
        assert rank.line() == "ready"
    ranks[2].kill()
    for number in (0, 1, 3):
        assert "rank 2 died" in ranks[number].finish(20)
    ranks[2].finish(20)


def rank_that_is_late(path, call):
    _start(path, 20)
    dist.barrier()
    if dist.get_rank() == 2:
        print("late", flush=True)
        signal.pause()
    dist.distributed_c10d._get_default_group().set_timeout(timedelta(seconds=2))
    return _said(CALLS[call])


@pytest.mark.parametrize("call", ["small", "large", "receive"])
def test_a_late_rank_is_named_by_all(tmp_path, call):
    ranks = start_ranks(None, SIZE, rank_that_is_late, str(tmp_path / "store"), call)
    for number in (0, 1, 3):
        name, blamed, text = ranks[number].finish(25)
        assert name in ("TimedOut", "Aborted") and blamed == 2, text
    ranks[2].kill()
    ranks[2].finish(20)


def rank_that_does_not_come(path):
    return _said(lambda: _start(path, 1.0))


def test_ranks_that_do_not_come_are_named(tmp_path):
    ranks = start_ranks(None, 3, rank_that_does_not_come, str(tmp_path / "store"))
    ranks[0].kill(signal.SIGSTOP)
    for rank in ranks[1:]:
        name, blamed, text = rank.finish(25)
        assert [name, blamed] == ["TimedOut", 0], text
    ranks[0].kill()
    ranks[0].finish(20)


def rank_that_leaves(path):
    _start(path)
    if dist.get_rank() == 1:
        sys.exit(0)
    return _said(dist.barrier)


def test_a_rank_that_has_left_is_named(tmp_path):
    ranks = start_ranks(None, 2, rank_that_leaves, str(tmp_path / "store"))
    name, blamed, text = ranks[0].finish(20)
    assert name == "Unavailable" and blamed == 1 and "has left" in text
    ranks[1].finish(20)


def rank_of_disagreement(path):
    _start(path)
    return _said(lambda: dist.all_reduce(torch.ones(10 + (dist.get_rank() == 1))))


def test_shapes_that_differ_are_told(tmp_path):
    said = run_ranks(None, 2, rank_of_disagreement, str(tmp_path / "store"))
    for name, blamed, text in said:
        assert name in ("InvalidArgument", "Aborted") and blamed is not None, text
        assert "bytes" in text, text


def rank_that_forks(path):
    """A child may not use the group, and its end does not disturb the parent's."""
    _start(path)
    child = os.fork()
    if child == 0:
        calls = (dist.barrier, lambda: dist.send(torch.ones(1), 1 - dist.get_rank()))
        said = [_said(call)[0] for call in calls]
        sys.exit(0 if said == ["FailedPrecondition"] * 2 else 1)
    status = os.waitpid(child, 0)[1]
    value = torch.ones(30_000)
    dist.all_reduce(value)
    return [status, value.unique().tolist()]


def test_forked_children_do_not_touch_the_group(tmp_path):
    results = run_ranks(None, 2, rank_that_forks, str(tmp_path / "store"))
    assert results == [[0, [2.0]]] * 2
