"""Ctrl-C, or the SIGTERM by which a scheduler ends a job, taken as a wish to stop after the update at hand."""

import signal
import threading

from tinyar.training.world import world

SIGNALS = signal.SIGINT, signal.SIGTERM


class Interrupt:
    """A context in which the first signal only makes `asked` true, so that the loop can stop between two updates.

    A second one does what it usually does: it stops at once. Signals reach the main thread alone, so in another thread
    this does nothing.
    """

    def __enter__(self):
        self.noticed = self.agreed = False
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self.notice) for number in SIGNALS
                             if signal.getsignal(number) is not signal.SIG_IGN}  # as in a job behind & in a script
        return self

    def notice(self, signum, frame):
        self.noticed = True
        self.restore()

    @property
    def asked(self):
        """Whether any rank got a signal: all ranks ask at the same time, and get the same answer."""
        self.agreed = self.agreed or world().any(self.noticed)
        return self.agreed

    def restore(self):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def __exit__(self, *error):
        self.restore()
