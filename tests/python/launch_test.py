"""Goal: python -m phub.launch brings up hub and workers, and ends all with the first that fails.

Method: as a user calls it, with small scripts; the same script under other launchers' variables.
"""
import os
import re
import signal
import subprocess
import sys

import pytest

HELLO = """
import numpy as np, phub, sys
with phub.Worker() as worker:
    tensor, = worker.register_tensors([phub.TensorSpec("t", 4)])
    total = np.asarray(worker.push_pull(tensor, np.full(4, worker.rank + 1, np.float32)).wait())
    print(f"rank {worker.rank} of {worker.size}: {total[0]:.0f} {sys.argv[1:]}")
    print("to stderr", file=sys.stderr)
"""
FAILING = """
import os, signal, sys, numpy as np, phub
worker = phub.Worker()
tensor, = worker.register_tensors([phub.TensorSpec("t", 4)])
worker.barrier()
if worker.rank == 2:
    print("out of luck", flush=True)
    HOW
try:
    worker.push_pull(tensor, np.ones(4, np.float32)).wait()
except phub.Aborted as error:
    print("survivor blames", error.rank, flush=True)
    raise
"""
ENDLESS = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
signal.pause()
"""


def _launch(folder, source, count, *arguments):
    script = folder / "train.py"
    script.write_text(source)
    return [sys.executable, "-m", "phub.launch", "-n", str(count), str(script), *arguments]


def test_ranks_find_hub_and_each_other(tmp_path):
    done = subprocess.run(_launch(tmp_path, HELLO, 3, "--lr", "0.1"), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for rank in range(3):
        assert f"[rank {rank}] rank {rank} of 3: 6 ['--lr', '0.1']\n" in done.stdout
        assert f"[rank {rank}] to stderr\n" in done.stderr
    assert "phub.launch: 3 workers ended well after" in done.stderr


@pytest.mark.parametrize("how,status,reason", [
    ("sys.exit(7)", 7, "ended with exit status 7"),
    ("os.kill(os.getpid(), signal.SIGKILL)", 137, "was killed by SIGKILL")])
def test_the_first_failure_stops_all(tmp_path, how, status, reason):
    done = subprocess.run(_launch(tmp_path, FAILING.replace("HOW", how), 4), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert f"{reason}; its last line: out of luck" in done.stderr
    if status == 137:  # Who exits leaves the job in good order, and nobody is to blame yet.
        for rank in (0, 1, 3):
            assert f"[rank {rank}] survivor blames 2\n" in done.stdout, done.stdout


def test_a_signal_ends_all(tmp_path):
    with subprocess.Popen(_launch(tmp_path, ENDLESS, 2), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as launcher:
        lines = {launcher.stdout.readline(), launcher.stdout.readline()}
        assert lines == {"[rank 0] here\n", "[rank 1] here\n"}
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(30) == 130
        assert "SIGINT: ending all" in launcher.stderr.read()


@pytest.mark.parametrize("variables", [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS")])
def test_other_launchers_need_no_launcher(tmp_path, hub, variables):
    script = tmp_path / "train.py"
    script.write_text(HELLO)
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("PHUB_", "SLURM_", "OMPI_"))}
    ranks = [subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True,
                              env={**clean, "PHUB_HUB": hub.address, variables[0]: str(rank),
                                   variables[1]: "2"}) for rank in range(2)]
    for number, rank in enumerate(ranks):
        assert rank.communicate(timeout=60)[0] == f"rank {number} of 2: 3 []\n"


@pytest.mark.parametrize("launcher", [
    ["mpirun", "--oversubscribe", "--mca", "btl", "self,vader", "-n", "2", sys.executable],
    [os.path.join(os.path.dirname(sys.executable), "torchrun"), "--nproc-per-node", "2",
     "--master-addr", "127.0.0.1", "--master-port", "0"]], ids=["mpirun", "torchrun"])
def test_real_launchers_start_the_same_script(tmp_path, hub, launcher):
    script = tmp_path / "train.py"
    script.write_text(HELLO)
    environment = {**os.environ, "PHUB_HUB": hub.address, "OMPI_ALLOW_RUN_AS_ROOT": "1",
                   "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run([*launcher, str(script)], env=environment, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    # They share one pipe, and torchrun's write their ends of line apart.
    assert sorted(re.findall(r"rank \d of \d: \d \[\]", done.stdout)) == [
        "rank 0 of 2: 3 []", "rank 1 of 2: 3 []"]


def test_programs_are_bundled():
    for program in ("phubd", "phubctl", "phub-perf"):
        folder = os.path.dirname(sys.executable)
        done = subprocess.run([os.path.join(folder, program), "--help"], capture_output=True,
                              text=True, timeout=30)
        assert done.returncode == 0 and program in done.stdout, program
