"""Ctrl-C, taken as a wish to stop after the update at hand."""

import signal
import threading


class Interrupt:
    """A context in which the first Ctrl-C only sets `asked`, so that the loop can stop between two updates.

    A second one stops at once. Signals reach the main thread alone, so elsewhere it does nothing.
    """

    def __enter__(self):
        self.asked = False
        self.in_main_thread = threading.current_thread() is threading.main_thread()
        if self.in_main_thread:
            self.previous = signal.signal(signal.SIGINT, self.ask)
        return self

    def ask(self, signum, frame):
        self.asked = True
        signal.signal(signal.SIGINT, self.previous)

    def __exit__(self, *error):
        if self.in_main_thread:
            signal.signal(signal.SIGINT, self.previous)
