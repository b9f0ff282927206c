"""Ranks that are threads of this process. They do what ranks do that MPI connects, and need no launcher."""

import contextvars
import pickle
import threading

from tinyar.training.ranks import Ranks
from tinyar.training.world import current


class Meeting:
    """Where `size` threads exchange values, again and again: each waits for all others."""

    def __init__(self, size):
        self.size, self.changed = size, threading.Condition()
        self.rounds, self.failed = {}, False

    def exchange(self, number, rank, value):
        """The values that all ranks bring to the exchange of this number, a list."""
        with self.changed:
            values = self.rounds.setdefault(number, {})
            values[rank] = value
            self.changed.notify_all()
            self.changed.wait_for(lambda: len(values) == self.size or self.failed, 60)
            self.rounds.pop(number - 2, None)  # all have left it, as they came to the one after it
            if len(values) < self.size:
                raise RuntimeError("another rank has failed")
            return [values[rank] for rank in range(self.size)]

    def fail(self):
        with self.changed:
            self.failed = True
            self.changed.notify_all()


class Pretended(Ranks):
    """One of the ranks of a Meeting."""

    def __init__(self, rank, meeting):
        self.rank, self.size, self.meeting, self.number = rank, meeting.size, meeting, 0

    def of_all(self, value):
        self.number += 1
        return pickle.loads(pickle.dumps(self.meeting.exchange(self.number, self.rank, value)))  # nothing is shared

    def from_first(self, value):
        return self.of_all(value)[0]

    def add_up(self, flat):
        first, *others = self.of_all(flat.copy())
        flat[...] = first
        for numbers in others:
            flat += numbers

    def overwrite(self, flat):
        flat[...] = self.of_all(flat.copy())[0]

    def share_of(self, threads):
        return max(1, threads // self.size)


def on_ranks(size, work):
    """[work(rank), ...] of `size` pretended ranks, run side by side; an exception is returned in the place of a value.

    A rank that fails ends the others, as with MPI.
    """
    meeting, results = Meeting(size), [None] * size

    def one(rank):
        current.set(Pretended(rank, meeting))
        try:
            results[rank] = work(rank)
        except Exception as error:
            results[rank] = error
            meeting.fail()

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(one, rank)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
