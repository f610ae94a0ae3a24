"""Goal: operations from Python give what the hub computes, for any array and every way to wait.

Method: a real hub and real processes; small whole numbers, so that sums are exact.
"""
import asyncio
import threading

import numpy as np
import pytest

import phub
from gang import run_ranks

TYPES = ["fp32", "fp16", "bf16", "fp64", "int32", "int64"]


def rank_of_types():
    import torch
    wrong = []
    with phub.Worker() as worker:
        specs = [phub.TensorSpec(name, 1000, name) for name in TYPES]
        memories = [torch.from_dlpack(worker.allocate((10, 100), s.dtype)) for s in specs]
        for tensor, memory in zip(worker.register_tensors(specs), memories):
            memory.fill_(worker.rank + 1)
            result = torch.from_dlpack(worker.push_pull(tensor, memory).wait())
            if result.shape != (1000,) or not (result == 3).all():
                wrong.append(tensor.spec.name)
        wrong.append(worker.stats()["copied_bytes"])
    return wrong


def test_every_type_is_summed_in_place(hub):
    assert run_ranks(hub, 2, rank_of_types) == [[0], [0]]


def rank_of_foreign_arrays():
    """Buffer protocol, NumPy, torch; results into the gradient, and into another array."""
    import array
    import torch
    sums = []
    with phub.Worker(progress="caller") as worker:
        tensor, = worker.register_tensors([phub.TensorSpec("t", 64)])
        mine = worker.rank + 1.0
        for gradient in (array.array("f", [mine] * 64), np.full((8, 8), mine, np.float32),
                         torch.full((4, 16), mine)):
            out = np.zeros(64, np.float32)
            worker.push_pull(tensor, gradient, out).wait()
            worker.push_pull(tensor, gradient, gradient).wait()
            sums += [float(out.sum()), float(np.asarray(gradient).sum())]
        worker.push(tensor, np.full(64, mine, np.float32)).wait()
        sums.append(float(np.asarray(worker.pull(tensor).wait()).sum()))
        sums.append(worker.stats()["copied_bytes"] > 0)
    return sums


def test_arrays_of_any_framework_are_exchanged(hub):
    assert run_ranks(hub, 2, rank_of_foreign_arrays) == [[192.0] * 7 + [True]] * 2


def rank_of_broadcast():
    with phub.Worker() as worker:
        weights, = worker.register_tensors(
            [phub.TensorSpec("w", 10, op="mean", optimizer=phub.Optimizer("sgd", 0.5))])
        data = np.full(10, worker.rank + 5, np.float32)
        worker.broadcast(weights, data, root=1).wait()
        first = data.tolist()
        worker.push_pull(weights, np.full(10, 2 * worker.rank, np.float32), data).wait()
        state = worker.read_state(weights, "weights", np.zeros(10, np.float32))
        worker.barrier()
        return [first[0], float(data[0]), float(state[9]), worker.read_step_count(weights)]


def test_the_hub_keeps_weights(hub):
    assert run_ranks(hub, 2, rank_of_broadcast) == [[6.0, 5.5, 5.5, 1]] * 2


def rank_of_waits():
    """Futures, await, callbacks and threads, all on one Worker."""
    with phub.Worker() as worker:
        tensors = worker.register_tensors([phub.TensorSpec(f"t{i}", 100) for i in range(8)])
        gradient = np.full(100, worker.rank + 1.0, np.float32)

        async def gather():
            return await asyncio.gather(*[_awaited(worker.push_pull(t, gradient))
                                          for t in tensors])

        seen = [float(a[0]) for a in asyncio.run(gather())]
        futures = [worker.push_pull(t, gradient).future() for t in tensors]
        seen += [float(np.asarray(future.result(20))[0]) for future in futures]
        called = threading.Semaphore(0)
        names = []

        def next_round(operation):
            names.append(threading.current_thread() is threading.main_thread())
            if operation.round < 5:
                again = worker.push_pull(operation.tensor, gradient)
                again.add_done_callback(next_round)
            else:
                called.release()

        for tensor in tensors:
            worker.push_pull(tensor, gradient).add_done_callback(next_round)
        for _ in tensors:
            assert called.acquire(timeout=20)
        return [seen == [3.0] * 16, len(names)]


async def _awaited(operation):
    return np.asarray(await operation)


def test_futures_await_and_callbacks_complete(hub):
    assert run_ranks(hub, 2, rank_of_waits) == [[True, 24]] * 2


def rank_of_wrong_arguments():
    said = []

    def fails(call, *arguments, **named):
        try:
            call(*arguments, **named)
            said.append("nothing")
        except phub.Error as error:
            said.append([error.code, error.tensor, str(error)])

    with phub.Worker(rank=0, size=1) as worker:
        tensor, = worker.register_tensors([phub.TensorSpec("t", 10)])
        good = np.zeros(10, np.float32)
        fails(worker.push_pull, tensor, np.zeros(11, np.float32))
        fails(worker.push_pull, tensor, np.zeros(10, np.float64))
        fails(worker.push_pull, tensor, np.zeros(20, np.float32)[::2])
        fails(worker.push_pull, tensor, good, b"0" * 40)
        fails(worker.push_pull, tensor, "text")
        fails(worker.broadcast, tensor, good, root=1)
        fails(worker.pull, tensor)
        fails(worker.allocate, 4, "int8")
        worker.push_pull(tensor, good).wait()
        worker.close()
        fails(worker.push_pull, tensor, good)
    return said


def test_wrong_arguments_are_named(hub):
    said, = run_ranks(hub, 1, rank_of_wrong_arguments)
    assert [s[0] for s in said] == ["invalid_argument"] * 6 + [
        "failed_precondition", "invalid_argument", "failed_precondition"]
    assert [s[1] for s in said[:7]] == ["t"] * 7
    assert "11 elements for a tensor of 10" in said[0][2]
    assert "elements are float64, the tensor's are fp32" in said[1][2]
    assert "C-contiguous" in said[2][2]
    assert "str is not an array" in said[4][2]
    assert "is closed" in said[8][2]


def test_arrays_outlive_the_worker(hub):
    worker = phub.Worker(hub.address, rank=0, size=1)
    memory = np.asarray(worker.allocate(1000))
    memory[:] = 7
    worker.close()
    assert float(memory.sum()) == 7000


def test_a_missing_hub_is_unavailable():
    with pytest.raises(phub.Unavailable) as caught:
        phub.Worker("shm:///nonexistent/hub.sock", rank=0, size=1)
    assert isinstance(caught.value, ConnectionError)
    assert "/nonexistent/hub.sock" in str(caught.value)
    assert caught.value.rank is None
