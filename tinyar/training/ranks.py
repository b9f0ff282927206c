"""One batch on several machines or GPUs: data parallelism over ranks.

    mpiexec -n 4 python examples/train_pixelcnn.py

A rank is a process. All ranks run the same script, each with a model of its own. A rank is to the machines what a
replica is to the threads (parallel.py): the micro-batches of a batch are dealt out to the ranks, then to the threads of
each. The gradients are added up over all ranks. Then every rank makes the same step, so the models stay equal, bit for
bit. Rank 0 alone writes files and shows progress.

    rank, size          which rank this is, 0 ... size - 1, and how many there are
    sum(arrays)         each array becomes its sum over the ranks, in place
    copy_first(arrays)  each array becomes that of rank 0, in place
    any(flag)           whether the flag is true on some rank
    of_all(value)       the values of all ranks, a list
    of_first(make)      what make() returns, or raises, on rank 0; it runs nowhere else

Every rank has to call these in the same order. A rank that waits for one which doesn't come waits for ever.

`sum` is one call of MPI for all gradients together (mpi4py). Between GPUs it is one of NCCL, which adds up on the
devices; where NCCL is missing, the gradients go by way of the hosts. The order of the additions depends on the number
of ranks alone. So a run repeated on as many ranks ends in the same weights, bit for bit.

Adam and the averages of the weights do the same work on every rank, 0.14 s an update for 53 million parameters.
"""

from tinyar.backend import xp


class Alone:
    """One process without others."""

    rank, size, first = 0, 1, True

    def sum(self, arrays):
        """Nothing to add."""

    def copy_first(self, arrays):
        """Nothing to copy."""

    def any(self, flag):
        return bool(flag)

    def of_all(self, value):
        return [value]

    def of_first(self, make):
        return make()

    def share_of(self, threads):
        """How many of the threads that a machine offers are for this rank."""
        return threads


class Ranks(Alone):
    """Several ranks. A subclass has rank and size, and says how numbers get from one to another:

    of_all(value), from_first(value)    the values of all ranks, a list; the value of rank 0
    add_up(flat), overwrite(flat)       an array (numbers) becomes the sum over the ranks, or that of rank 0, in place
    """

    @property
    def first(self):
        return self.rank == 0

    def sum(self, arrays):
        in_one_piece(arrays, self.add_up)

    def copy_first(self, arrays):
        in_one_piece(arrays, self.overwrite)

    def any(self, flag):
        return any(self.of_all(bool(flag)))

    def of_first(self, make):
        value = error = None
        if self.first:
            try:
                value = make()
            except Exception as raised:
                error = raised
        value, error = self.from_first((value, error))
        if error is not None:
            raise error
        return value


def in_one_piece(arrays, change):
    """Change arrays in place by change(flat), called once for each of their number types: one message, not hundreds."""
    arrays = list(arrays)
    for dtype in sorted({array.dtype.str for array in arrays}):
        same = [array for array in arrays if array.dtype.str == dtype]
        flat = xp.concatenate([array.reshape(-1) for array in same])
        change(flat)
        place = 0
        for array in same:
            array[...] = flat[place:place + array.size].reshape(array.shape)
            place += array.size
