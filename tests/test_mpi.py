"""Real ranks, started by mpiexec: equal to threads, quiet but for rank 0, stopped by signals, ended by one that fails.

Skipped where mpi4py or its mpiexec isn't installed.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from test_ranks import assert_same_files

from tinyar.backend import BackendError, default_threads, on_gpu
from tinyar.training import checkpoint
from tinyar.training.mpi import launched, refuse_a_common_gpu, refuse_another_mpi

TESTS = pathlib.Path(__file__).parent
EXAMPLES, STANDIN = TESTS.parent / "examples", TESTS / "standin"
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]))
SMALL = ["--data", "digits", "--epochs", "2", "--channels", "4", "--blocks", "1", "--samples", "2", "--threads", "1"]

real = pytest.mark.skipif(MPIEXEC is None or subprocess.run([sys.executable, "-c", "import mpi4py"],
                                                            capture_output=True).returncode,
                          reason='needs pip install -e ".[mpi]"')
on_cpu = pytest.mark.skipif(on_gpu, reason="several ranks need as many GPUs")


def start(ranks, script, *arguments, folder, **variables):
    """The running mpiexec, a Popen; stdout and stderr in one."""
    path = os.pathsep.join(filter(None, [str(EXAMPLES), variables.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **variables}
    return subprocess.Popen([MPIEXEC, "-n", str(ranks), sys.executable, script, *map(str, arguments)], cwd=folder,
                            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def run(*arguments, **options):
    """(exit status, what was printed, seconds)."""
    begun = time.monotonic()
    with start(*arguments, **options) as job:
        printed, _ = job.communicate(timeout=100)
    return job.returncode, printed, time.monotonic() - begun


# -- the same as threads -----------------------------------------------------------------------------------------------

@real
@on_cpu
def test_two_ranks_are_two_threads_and_rank_0_alone_prints_and_writes(tmp_path):
    status, printed, _ = run(2, EXAMPLES / "train_pixelcnn.py", *SMALL, "--out", "ranks", folder=tmp_path)
    assert status == 0, printed
    for line in ("data:  digits", "epoch 1: train", "epoch 2: train", "test:  ", "wrote to ranks"):
        assert printed.count(line) == 1, printed
    assert sorted(os.listdir(tmp_path)) == ["ranks"]
    subprocess.run([sys.executable, EXAMPLES / "train_pixelcnn.py", *SMALL[:-1], "2", "--out", "threads"], cwd=tmp_path,
                   check=True, capture_output=True)
    assert_same_files(tmp_path / "ranks", tmp_path / "threads")
    assert sorted(os.listdir(tmp_path / "ranks")) == sorted(os.listdir(tmp_path / "threads"))


@pytest.mark.long
@real
@on_cpu
def test_all_stages_of_a_vqvae_on_four_ranks(tmp_path):
    status, printed, _ = run(4, EXAMPLES / "train_vqvae.py", "--data", "digits", "--epochs", 1, "--prior-epochs", 1,
                             "--samples", 2, "--threads", 1, "--out", "run", folder=tmp_path)
    assert status == 0, printed
    for line, times in (("data:  ", 1), ("epoch 1: train", 2), ("test:  ", 1), ("codes: ", 1), ("prior: ", 2),
                        ("wrote to run", 1)):
        assert printed.count(line) == times, printed
    assert os.listdir(tmp_path) == ["run"]
    assert (tmp_path / "run" / "prior" / "model.npz").exists() and (tmp_path / "run" / "samples.png").exists()


@pytest.mark.long
@real
@on_cpu
def test_a_run_is_named_once_and_resumed(tmp_path):
    for count in (2, 3):
        more = ["--resume"] if count == 3 else []
        status, printed, _ = run(count, EXAMPLES / "train_gated.py", "--data", "digits", "--epochs", 1, "--channels", 4,
                                 "--samples", 2, *more, folder=tmp_path)
        assert status == 0, printed
    assert os.listdir(tmp_path / "runs") == ["gated-digits"]


@real
@on_cpu
def test_ranks_share_the_cores_of_their_machine(tmp_path):
    code = ("from tinyar.training.parallel import checked_threads; from tinyar.training.world import world; "
            "every = world().of_all(checked_threads(None)); world().first and print('threads', every)")
    for setting, expected in (("", max(1, default_threads() // 2)), ("3", 3)):
        _, printed, _ = run(2, "-c", code, folder=tmp_path, TINYAR_THREADS=setting)
        assert f"threads [{expected}, {expected}]" in printed


# -- GPUs --------------------------------------------------------------------------------------------------------------

def on_standin(folder, **variables):
    """Train on two ranks that compute on the stand-in for CuPy."""
    return run(2, EXAMPLES / "train_pixelcnn.py", *SMALL, "--out", "run", folder=folder, TINYAR_BACKEND="cupy",
               PYTHONPATH=str(STANDIN), **variables)


@pytest.mark.long
@real
@on_cpu
def test_every_rank_has_a_gpu_and_nccl_adds_up(tmp_path):
    for nccl in "10":  # without NCCL by way of the hosts
        folder = tmp_path / nccl
        folder.mkdir()
        status, printed, _ = on_standin(folder, STANDIN_DEVICES="2", STANDIN_NCCL=nccl)
        assert status == 0 and "computed by cupy" in printed, printed
    assert_same_files(tmp_path / "1" / "run", tmp_path / "0" / "run")


@real
@on_cpu
def test_more_ranks_than_gpus_are_refused(tmp_path):
    status, printed, _ = on_standin(tmp_path, STANDIN_DEVICES="1")
    assert status != 0 and "ranks 0 and 1 would share a GPU" in printed and not os.listdir(tmp_path), printed


# -- stopped -----------------------------------------------------------------------------------------------------------

@real
@on_cpu
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_mpiexec_saves_and_ends_all(number, tmp_path):
    long = [option if option != "2" else "900" for option in SMALL[:4]] + SMALL[4:]
    job = start(2, EXAMPLES / "train_pixelcnn.py", *long, "--out", "run", folder=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "model.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    job.send_signal(number)
    begun = time.monotonic()
    printed, _ = job.communicate(timeout=30)
    assert job.returncode != 0 and time.monotonic() - begun < 10
    assert printed.count("stopped and saved; go on with the same command") == 1, printed
    assert "Traceback" not in printed, printed
    _, state = checkpoint.load(tmp_path / "run" / "training.npz")
    assert state["progress"]["updates"] > 0 and state["history"]["rows"]  # what --resume goes on from


# -- what goes wrong ---------------------------------------------------------------------------------------------------

@real
@on_cpu
@pytest.mark.parametrize("what, line", [
    ("raise", "rank 1 of 2: failing_rank.py: something is wrong here"),
    ("exit", "rank 1 of 2: enough"),
    pytest.param("options", "rank 1 of 2 is about to do something else than rank 0: batch_size is 10, on rank 0 20",
                 marks=pytest.mark.long),
    pytest.param("images", "rank 1 of 2 is about to do something else than rank 0: images is",
                 marks=pytest.mark.long),
    ("seed", "rank 1 of 2 is about to do something else than rank 0: seed is 1, on rank 0 0"),
    ("nan", "the loss isn't finite any more"),
    ("folder", "can't write to the folder"),
    ("kill", None),  # MPI says it: killed by signal 9
])
def test_one_rank_ends_all_and_it_is_said_once(what, line, tmp_path):
    status, printed, seconds = run(2, TESTS / "failing_rank.py", what, tmp_path / "run", folder=tmp_path)
    assert status != 0 and seconds < 30
    assert "Traceback" not in printed
    if line:
        assert printed.count(line) == 1, printed
    if what in ("raise", "exit", "kill"):  # what was saved is whole, and goes on
        status, printed, _ = run(2, TESTS / "failing_rank.py", "none", tmp_path / "run", folder=tmp_path)
        assert status != 0 and "holds a training run already" in printed


@real
@on_cpu
def test_scripts_for_one_process_say_so(tmp_path):
    status, printed, _ = run(2, EXAMPLES / "draw.py", "nothing.npz", folder=tmp_path)
    assert status != 0 and printed.count("this script runs as one process: start it without mpiexec") == 1


@real
@on_cpu
def test_a_wrong_option_is_refused_once(tmp_path):
    status, printed, _ = run(3, EXAMPLES / "train_pixelcnn.py", "--epochs", "many", folder=tmp_path)
    assert status != 0 and printed.count("expected a whole number") == 1, printed


@pytest.mark.parametrize("variable", ["PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK"])
def test_a_launcher_without_mpi4py_is_refused(variable, tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join(filter(None, [str(tmp_path), str(TESTS.parent), os.environ.get("PYTHONPATH")]))
    ended = subprocess.run([sys.executable, "-c", "import tinyar"], text=True, capture_output=True,
                           env={**os.environ, variable: "0", "PYTHONPATH": path})
    assert ended.returncode and "BackendError: a launcher of MPI has started this process, but mpi4py can't be " \
                                'imported (' in ended.stderr and 'pip install -e ".[mpi]"' in ended.stderr


@pytest.mark.parametrize("environment, said", [
    ({"PMI_RANK": "0", "PMI_SIZE": "2"}, "rank 0 of 2, but mpi4py sees rank 0 of 1"),
    ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, "rank 3 of 4, but mpi4py sees rank 0 of 1"),
    ({"PMIX_RANK": "1"}, "rank 1 of 1, but mpi4py sees rank 0 of 1"),
])
def test_another_mpi_than_the_launchers_is_refused(environment, said):
    with pytest.raises(BackendError, match=said + ": it uses another MPI .Open MPI v5. than the launcher"):
        refuse_another_mpi(environment, 0, 1, "Open MPI v5")


def test_the_right_mpi_is_taken():
    for environment in ({"PMI_RANK": "1", "PMI_SIZE": "2"}, {"PMIX_RANK": "1"}, {}):
        refuse_another_mpi(environment, 1, 2, "MPICH")


@pytest.mark.parametrize("environment, expected", [
    ({"PMI_RANK": "0"}, True), ({"PMIX_RANK": "1"}, True), ({"OMPI_COMM_WORLD_RANK": "0"}, True), ({}, False),
    ({"SLURM_PROCID": "0"}, False), ({"SLURM_PROCID": "0", "PMI_RANK": "0"}, True),
    ({"PMI_RANK": "0", "PMI_SIZE": "1"}, False), ({"PMI_RANK": "0", "PMI_SIZE": "2"}, True),
])
def test_who_was_launched(environment, expected):
    assert launched(environment) is expected


def test_ranks_that_would_share_a_gpu_are_refused():
    refuse_a_common_gpu([("a", 0), ("a", 1), ("b", 0)])
    with pytest.raises(BackendError, match="ranks 1 and 3 would share a GPU of a: expected at most as many ranks"):
        refuse_a_common_gpu([("b", 0), ("a", 0), ("a", 1), ("a", 0)])
