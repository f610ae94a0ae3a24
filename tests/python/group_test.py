"""Goal: torch.distributed does over PHub what it does over Gloo, and names who fails.

Method: real ranks, each with a group of both backends, which must leave the same in the same
tensors; sums also bit-identical on all ranks. Ranks are killed, late, or leave.
"""
import os
from datetime import timedelta

import torch
import torch.distributed as dist

import phub.torch  # noqa: F401 (makes the backend known)
from gang import run_ranks

SIZE = 4


def _start(path, seconds=30):
    dist.init_process_group("phub", init_method=f"file://{path}",
                            rank=int(os.environ["PHUB_RANK"]),
                            world_size=int(os.environ["PHUB_SIZE"]),
                            timeout=timedelta(seconds=seconds))


def _gloo():
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    return dist.new_group(backend="gloo")


def rank_of_first_light(path):
    _start(path)
    rank = dist.get_rank()
    value = torch.full((3,), rank + 1.0)
    dist.all_reduce(value)
    dist.barrier()
    word = torch.full((2, 2), rank, dtype=torch.int64)
    dist.broadcast(word, 1)
    got = torch.zeros(5)
    if rank == 0:
        dist.send(torch.arange(5.0), 1, tag=7)
        dist.recv(got, 1, tag=8)
    else:
        dist.recv(got, 0, tag=7)
        dist.send(got * 2, 0, tag=8)
    dist.destroy_process_group()
    return [value.tolist(), word.tolist(), got.tolist()]


def test_first_light(tmp_path):
    first, second = run_ranks(None, 2, rank_of_first_light, str(tmp_path / "store"))
    assert first == [[3.0] * 3, [[1, 1], [1, 1]], [0, 2, 4, 6, 8]]
    assert second == [[3.0] * 3, [[1, 1], [1, 1]], [0, 1, 2, 3, 4]]


# What each collective is given and leaves: both backends run the same function.

TYPES = {"fp32": torch.float32, "fp64": torch.float64, "fp16": torch.float16,
         "bf16": torch.bfloat16, "int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8}
COUNTS = (1, 5, 1000, 30_011)  # By one exchange, and by parts of uneven length; odd.


def _random(type_name, count, seed=None):
    generator = torch.Generator().manual_seed(dist.get_rank() if seed is None else seed)
    dtype = TYPES[type_name]
    if dtype.is_floating_point:
        return torch.randn(count, generator=generator).to(dtype)
    return torch.randint(0, 9, (count,), generator=generator).to(dtype)


def _all_reduce(group, type_name, count):
    results = []
    ops = [dist.ReduceOp.SUM, dist.ReduceOp.MIN, dist.ReduceOp.MAX, dist.ReduceOp.PRODUCT]
    if not TYPES[type_name].is_floating_point:
        ops += [dist.ReduceOp.BAND, dist.ReduceOp.BOR, dist.ReduceOp.BXOR]
    for op in ops:
        results.append(_random(type_name, count))
        dist.all_reduce(results[-1], op, group=group)
    return results


def _reduce(group, type_name, count):
    value = _random(type_name, count)
    dist.reduce(value, 2, group=group)
    return [value] if dist.get_rank() == 2 else []


def _broadcast(group, type_name, count):
    values = [_random(type_name, count) for _ in range(2)]
    for root, value in enumerate(values):
        dist.broadcast(value, root, group=group)
    return values


def _all_gather(group, type_name, count):
    value = _random(type_name, count)
    rows = [torch.zeros_like(value) for _ in range(SIZE)]
    dist.all_gather(rows, value, group=group)
    whole = torch.zeros(SIZE * count, dtype=value.dtype)
    dist.all_gather_into_tensor(whole, value, group=group)
    return [*rows, whole]


def _reduce_scatter(group, type_name, count):
    value = _random(type_name, SIZE * count)
    part = torch.zeros(count, dtype=value.dtype)
    dist.reduce_scatter_tensor(part, value.clone(), group=group)
    other = torch.zeros_like(part)
    dist.reduce_scatter(other, [row.clone() for row in value.chunk(SIZE)], group=group)
    return [part, other]


def _all_to_all(group, type_name, count):
    rank = dist.get_rank()
    value = _random(type_name, SIZE * count)
    even = torch.zeros_like(value)
    dist.all_to_all_single(even, value, group=group)
    sent = [count + other for other in range(SIZE)]
    uneven = torch.zeros(SIZE * (count + rank), dtype=value.dtype)
    dist.all_to_all_single(uneven, _random(type_name, sum(sent)), [count + rank] * SIZE, sent,
                           group=group)
    return [even, uneven]


def _gather_scatter(group, type_name, count):
    rank = dist.get_rank()
    value = _random(type_name, count)
    rows = [torch.zeros_like(value) for _ in range(SIZE)] if rank == 1 else None
    dist.gather(value, rows, dst=1, group=group)
    part = torch.zeros_like(value)
    dist.scatter(part, [_random(type_name, count, 90 + r) for r in range(SIZE)]
                 if rank == 3 else None, src=3, group=group)
    return [*(rows or []), part]


COLLECTIVES = [_all_reduce, _reduce, _broadcast, _all_gather, _reduce_scatter, _all_to_all,
               _gather_scatter]


def _is_close(got, want):
    if got.dtype.is_floating_point and got.dtype != torch.float64:
        # Gloo adds 16-bit numbers in 16 bits, in another order.
        bound = 1e-5 if got.dtype == torch.float32 else 0.05
        scale = want.double().abs().clamp(min=1.0)
        return bool(((got.double() - want.double()).abs() <= bound * scale).all())
    return torch.allclose(got.double(), want.double(), rtol=1e-12, atol=1e-12)


def rank_of_collectives(path):
    _start(path)
    gloo = _gloo()
    wrong = []
    for collective in COLLECTIVES:
        for type_name in TYPES:
            for count in COUNTS:
                got = collective(None, type_name, count)
                want = collective(gloo, type_name, count)
                if not all(_is_close(a, b) for a, b in zip(got, want)) or len(got) != len(want):
                    wrong.append([collective.__name__, type_name, count])
    # All-reduced: the same bits on all ranks.
    for type_name in ("fp32", "bf16"):
        for count in COUNTS:
            value = _random(type_name, count)
            dist.all_reduce(value)
            root = value.clone()
            dist.broadcast(root, 0, group=gloo)
            if not torch.equal(root, value):
                wrong.append(["bits", type_name, count])
    dist.destroy_process_group()
    return wrong


def test_collectives_do_as_gloos(tmp_path):
    assert run_ranks(None, SIZE, rank_of_collectives, str(tmp_path / "store")) == [[]] * SIZE


def rank_of_forms(path):
    """What Gloo lacks, or what has no counterpart there."""
    _start(path)
    rank = dist.get_rank()
    said = {}
    mean = torch.full((3_000_001,), float(rank))  # Of several segments.
    dist.all_reduce(mean, dist.ReduceOp.AVG)
    said["mean"] = mean.unique().tolist()
    turned = torch.full((3, 4), rank).t()
    dist.all_reduce(turned)
    said["turned"] = turned.unique().tolist()
    rows = [torch.zeros(r + 1) for r in range(SIZE)]
    dist.all_gather(rows, torch.full((rank + 1,), float(rank)))
    said["uneven"] = [row.tolist() for row in rows]
    flags = torch.tensor([rank == 2, False])
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    said["flags"] = flags.tolist()
    works = [dist.all_reduce(torch.ones(n), async_op=True) for n in (0, 1, 50_000)]
    said["futures"] = [work.get_future().wait()[0].sum().item() for work in works]
    said["done"] = [work.wait() and work.is_success() for work in works]
    lists = [torch.zeros(3) for _ in range(SIZE)]
    dist.all_to_all(lists, [torch.full((3,), 10.0 * rank + r) for r in range(SIZE)])
    said["lists"] = [row[0].item() for row in lists]
    with dist.distributed_c10d._coalescing_manager():
        sums = [torch.full((n,), rank + 1.0) for n in (3, 20_000)]
        for value in sums:
            dist.all_reduce(value)
    said["coalesced"] = [value.unique().tolist() for value in sums]
    dist.destroy_process_group()
    return said


def test_forms_beyond_gloos(tmp_path):
    for rank, said in enumerate(run_ranks(None, SIZE, rank_of_forms, str(tmp_path / "store"))):
        assert said == {
            "mean": [1.5], "turned": [6], "flags": [True, False], "futures": [0, 4, 200_000],
            "uneven": [[r] * (r + 1) for r in range(SIZE)], "done": [True] * 3,
            "lists": [10 * r + rank for r in range(SIZE)], "coalesced": [[10], [10]]}


def rank_of_singles_and_objects(path):
    _start(path)
    rank = dist.get_rank()
    left, right = (rank - 1) % SIZE, (rank + 1) % SIZE
    said = {}
    # Receives first, on all ranks: nothing may wait for its turn.
    got = torch.zeros(100_000)
    works = dist.batch_isend_irecv([
        dist.P2POp(dist.irecv, got, left),
        dist.P2POp(dist.isend, torch.full((100_000,), float(rank)), right)])
    for work in works:
        work.wait()
    said["ring"] = got.unique().tolist()
    if rank == 0:
        words = [torch.zeros(1) for _ in range(SIZE - 1)]
        said["sources"] = sorted([dist.recv(word), word.item()] for word in words)
    else:
        dist.send(torch.tensor([10.0 * rank]), 0)
    objects = [None] * SIZE
    dist.all_gather_object(objects, {"rank": rank})
    said["objects"] = [one["rank"] for one in objects]
    shared = [{"from": 1}, "text"] if rank == 1 else [None, None]
    dist.broadcast_object_list(shared, 1)
    said["shared"] = shared
    odd = dist.new_group([1, 3])
    if rank in (1, 3):
        value = torch.tensor([float(rank)])
        dist.all_reduce(value, group=odd)
        dist.broadcast(value, 3, group=odd)
        said["odd"] = value.item()
        dist.destroy_process_group(odd)
    dist.barrier()
    return said  # Left to the end of the program.


def test_singles_objects_and_groups(tmp_path):
    for rank, said in enumerate(run_ranks(None, SIZE, rank_of_singles_and_objects,
                                          str(tmp_path / "store"))):
        assert said.pop("ring") == [(rank - 1) % SIZE]
        assert said.pop("objects") == [0, 1, 2, 3]
        assert said.pop("shared") == [{"from": 1}, "text"]
        assert said == ({"sources": [[1, 10], [2, 20], [3, 30]]} if rank == 0 else
                        {"odd": 4.0} if rank in (1, 3) else {})
