"""Ranks that MPI connects: the processes that mpiexec, mpirun, or srun of Slurm has started, and how they fail.

A rank that fails ends all others, as they would wait for it for ever. MPI itself ends them all when one is killed.
"""

import contextlib
import os
import socket
import sys
import time
import traceback

from tinyar import backend
from tinyar.backend import BackendError, to_device, to_host
from tinyar.training.ranks import Ranks

# By these a process knows that a launcher has started it: {the variable with its rank: that with their number}.
LAUNCHERS = {"PMI_RANK": "PMI_SIZE", "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE", "PMIX_RANK": None}
INSTALL = 'pip install -e ".[mpi]" installs mpi4py and an MPI with its mpiexec'
PATIENCE = 2  # seconds that a rank which fails waits for the others to fail too


class Mpi(Ranks):
    """The ranks that a launcher of MPI has started: mpiexec, mpirun, or srun of Slurm.

    Raises BackendError where mpi4py is missing, where it uses another MPI than the launcher, or where ranks have a GPU
    in common.
    """

    def __init__(self, environment):
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise BackendError("a launcher of MPI has started this process, but mpi4py can't be imported "
                               f"({error}); {INSTALL}") from error
        self.mpi, self.world, self.nccl = MPI, MPI.COMM_WORLD, None
        self.rank, self.size = self.world.Get_rank(), self.world.Get_size()
        refuse_another_mpi(environment, self.rank, self.size, MPI.Get_library_version().split("\n")[0])
        self.farewell = self.world.Dup()  # where ranks that fail meet, whatever the others still send each other
        self.sharing = count_sharing(self.world.Split_type(MPI.COMM_TYPE_SHARED))
        if backend.on_gpu:
            refuse_a_common_gpu(self.of_all((socket.gethostname(), backend.use_device())))
            self.nccl = backend.nccl(self.rank, self.size)
        sys.excepthook = lambda kind, error, trace: self.fail("".join(traceback.format_exception(error)))

    def of_all(self, value):
        return self.world.allgather(value)

    def from_first(self, value):
        return self.world.bcast(value)

    def add_up(self, flat):
        if self.nccl:
            self.nccl.all_reduce(flat, flat)
        else:
            with on_host(flat) as numbers:
                self.world.Allreduce(self.mpi.IN_PLACE, numbers)

    def overwrite(self, flat):
        if self.nccl:
            self.nccl.broadcast(flat)
        else:
            with on_host(flat) as numbers:
                self.world.Bcast(numbers)

    def share_of(self, threads):
        return max(1, threads // self.sharing)

    def fail(self, text):
        """Say what is wrong, and which rank fails; end all ranks. Where all of them fail, rank 0 says it for all."""
        alike = self.all_fail()
        if text and (self.first or not alike):
            print(text if alike else f"rank {self.rank} of {self.size}: {text}", file=sys.__stderr__, flush=True)
        if not alike:
            self.world.Abort(1)

    def all_fail(self):
        """Whether all ranks get here within PATIENCE seconds."""
        end, all_here = time.monotonic() + PATIENCE, self.farewell.Ibarrier()
        while not all_here.Test():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True


def count_sharing(machine):
    """How many ranks of this machine, a communicator of MPI, share the cores of this one, itself included.

    All do, unless the launcher has given each cores of its own.
    """
    if not hasattr(os, "sched_getaffinity"):
        return machine.Get_size()
    cores = os.sched_getaffinity(0)
    return sum(not cores.isdisjoint(others) for others in machine.allgather(cores))


@contextlib.contextmanager
def on_host(flat):
    """A context with the numbers of an array on the host; what they have become is copied back."""
    numbers = to_host(flat)
    yield numbers
    if backend.on_gpu:
        flat[...] = to_device(numbers)


def refuse_another_mpi(environment, rank, size, version):
    """Raise BackendError unless mpi4py counts the ranks as the launcher does: each sees itself alone otherwise."""
    for of_rank, of_size in LAUNCHERS.items():
        said = int(environment.get(of_rank, rank)), int(environment.get(of_size, size)) if of_size else size
        if said != (rank, size):
            raise BackendError(f"the launcher has started rank {said[0]} of {said[1]}, but mpi4py sees rank {rank} of "
                               f"{size}: it uses another MPI ({version}) than the launcher; start it by the mpiexec of "
                               f"that MPI; {INSTALL}")


def refuse_a_common_gpu(devices):
    """Raise BackendError if two ranks have the same (machine, GPU)."""
    for rank, device in enumerate(devices):
        if device in devices[:rank]:
            raise BackendError(f"ranks {devices.index(device)} and {rank} would share a GPU of {device[0]}: expected "
                               "at most as many ranks on a machine as it has GPUs")


def launched(environment):
    """Whether a launcher of MPI has started this process as one of several, by the variables that it has set.

    Slurm numbers the processes of every srun; only with a PMI are they ranks of an MPI.
    """
    return any(rank in environment and not (size and environment.get(size) == "1") for rank, size in LAUNCHERS.items())
