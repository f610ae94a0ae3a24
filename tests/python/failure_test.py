"""Goal: whoever dies, every survivor soon raises an error that names it; forks and exits are safe.

Method: real processes, killed with SIGKILL; survivors report what they raised and how.
"""
import asyncio
import gc
import os
import signal

import numpy as np
import pytest

import phub
from gang import run_ranks, start_ranks

WAYS = ["wait", "wait by caller", "future", "await", "barrier", "callback"]


def _wait_in(way, worker, operation):
    if way == "future":
        operation.future().result(25)
    elif way == "await":
        async def wait():
            await operation
        asyncio.run(wait())
    elif way == "barrier":
        worker.barrier()
    elif way == "callback":
        reader, writer = os.pipe()
        operation.add_done_callback(lambda ended: os.write(writer, b"x"))
        os.read(reader, 1)
        raise operation.error()
    else:
        operation.wait()


def rank_that_waits(way, doomed):
    progress = "caller" if way == "wait by caller" else "auto"
    worker = phub.Worker(progress=progress)
    tensor, = worker.register_tensors([phub.TensorSpec("fc.weight", 1000)])
    gradient = np.ones(1000, np.float32)
    worker.push_pull(tensor, gradient).wait()
    print("ready", flush=True)
    if worker.rank == doomed:
        signal.pause()
    try:
        _wait_in(way, worker, worker.push_pull(tensor, gradient))
    except phub.Error as error:
        return [type(error).__name__, error.rank, error.tensor, str(error)]
    return "no error"


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_rank_is_named(hub, way):
    ranks = start_ranks(hub, 3, rank_that_waits, way, 1)
    for rank in ranks:
        assert rank.line() == "ready"
    ranks[1].kill()
    for rank in (ranks[0], ranks[2]):
        name, blamed, tensor, text = rank.finish(20)
        assert [name, blamed] == ["Aborted", 1], text
        assert f"rank 1 (process {ranks[1].process.pid}" in text
        assert way == "barrier" or tensor == "fc.weight"
    ranks[1].finish(20)


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_hub_is_named(hub, way):
    ranks = start_ranks(hub, 2, rank_that_waits, way, 1)
    for rank in ranks:
        assert rank.line() == "ready"
    hub.kill()
    name, _, _, text = ranks[0].finish(20)
    assert name == "Unavailable", text
    assert hub.address in text
    ranks[1].kill()
    ranks[1].finish(20)


def rank_that_is_late(way):
    worker = phub.Worker(wait_timeout=1)
    tensor, = worker.register_tensors([phub.TensorSpec("fc.weight", 1000)])
    worker.barrier()
    if worker.rank == 1:
        print("late", flush=True)
        signal.pause()
    operation = worker.push_pull(tensor, np.ones(1000, np.float32))
    try:
        _wait_in(way, worker, operation)
    except phub.Error as error:
        print("told", flush=True)
        return [type(error).__name__, error.rank, error.tensor, str(error)]
    return "no error"


@pytest.mark.parametrize("way", ["wait", "future", "await"])
def test_a_late_rank_is_named(hub, way):
    ranks = start_ranks(hub, 2, rank_that_is_late, way)
    assert ranks[0].line() == "told"
    assert ranks[0].finish(20)[:3] == ["TimedOut", 1, "fc.weight"]
    ranks[1].kill()
    ranks[1].finish(20)


def rank_that_forks():
    """The child may not use the Worker, and neither its work nor its end disturbs the parent."""
    worker = phub.Worker()
    tensor, = worker.register_tensors([phub.TensorSpec("t", 1000)])
    gradient = np.ones(1000, np.float32)
    pending = worker.push_pull(tensor, gradient) if worker.rank == 0 else None
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            said = []
            for call in (lambda: worker.push_pull(tensor, gradient), worker.barrier,
                         lambda: pending and pending.wait()):
                try:
                    call()
                except phub.FailedPrecondition as error:
                    said.append("forked this one" in str(error))
            worker.close()
            del worker, tensor, call
            gc.collect()
            # Through the interpreter's own end, as a program would that was forked.
            raise SystemExit(0 if said == [True] * len(said) and len(said) >= 2 else 1)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    operation = pending or worker.push_pull(tensor, gradient)
    total = float(np.asarray(operation.wait()).sum())
    worker.close()
    return [statuses, total]


def test_forked_children_do_not_touch_the_worker(hub):
    for result in run_ranks(hub, 2, rank_that_forks):
        assert result == [[0] * 8, 2000.0]


def rank_that_leaves_a_child():
    worker = phub.Worker()
    tensor, = worker.register_tensors([phub.TensorSpec("fc.weight", 1000)])
    child = os.fork() if worker.rank == 1 else 0
    if worker.rank == 1:
        if child == 0:
            signal.pause()  # As a loader of data would that outlives its trainer.
        print(child, flush=True)
        signal.pause()
    print("ready", flush=True)
    try:
        worker.push_pull(tensor, np.ones(1000, np.float32)).wait(20)
    except phub.Error as error:
        return [type(error).__name__, error.rank]
    return "no error"


def test_a_killed_rank_is_named_while_its_child_lives(hub):
    ranks = start_ranks(hub, 2, rank_that_leaves_a_child)
    child = int(ranks[1].line())
    assert ranks[0].line() == "ready"
    ranks[1].kill()
    try:
        assert ranks[0].finish(25) == ["Aborted", 1]
    finally:
        os.kill(child, signal.SIGKILL)
    ranks[1].finish(20)


def rank_that_exits(way):
    worker = phub.Worker(wait_timeout=5)
    tensor, = worker.register_tensors([phub.TensorSpec("t", 100_000)])
    gradient = np.ones(100_000, np.float32)
    worker.push_pull(tensor, gradient).wait()
    if worker.rank == 0:
        kept = worker.push_pull(tensor, gradient)
        kept.add_done_callback(lambda operation: print("ended", operation.error(), flush=True))
        if way == "with arrays":
            globals()["array"] = np.asarray(worker.allocate(10))
        elif way == "with futures":
            globals()["future"] = kept.future()
        elif way == "without waiting":
            del worker, kept, gradient
    return True


@pytest.mark.parametrize("way", ["as it is", "with arrays", "with futures", "without waiting"])
def test_the_interpreter_ends_with_operations_in_flight(hub, way):
    ranks = start_ranks(hub, 2, rank_that_exits, way)
    for rank in ranks:
        assert rank.finish(20) is True, rank.output
        assert rank.process.returncode == 0, rank.output


def rank_that_is_interrupted():
    worker = phub.Worker()
    tensor, = worker.register_tensors([phub.TensorSpec("t", 10)])
    if worker.rank == 1:
        signal.pause()
    operation = worker.push_pull(tensor, np.ones(10, np.float32))
    print("waits", flush=True)
    try:
        operation.wait()
    except KeyboardInterrupt:
        return "interrupted"
    return "no error"


def test_ctrl_c_ends_a_wait(hub):
    ranks = start_ranks(hub, 2, rank_that_is_interrupted)
    assert ranks[0].line() == "waits"
    ranks[0].kill(signal.SIGINT)
    assert ranks[0].finish(20) == "interrupted"
    ranks[1].kill()
    ranks[1].finish(20)


def test_errors_name_rank_and_tensor():
    from phub.errors import make_error
    error = make_error("aborted", 'push_pull tensor 5 "a b" round 17: rank 3 (process 1 on h) died')
    assert (error.rank, error.tensor, error.code) == (3, "a b", "aborted")
    own = make_error("timed_out", 'connect to hub x: job "j" rank 4: ranks 1, 2 did not join')
    assert (own.rank, own.tensor) == (1, None)
    assert make_error("unavailable", "connect to hub x: job \"j\" rank 4: refused").rank is None
