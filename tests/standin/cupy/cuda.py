"""Devices of the stand-in: STANDIN_DEVICES of them (1). Each thread computes on one of them, at first on number 0.

STANDIN_NCCL=0 is a CuPy that was built without NCCL.
"""

import os
import threading
import types

_current = threading.local()


def current():
    """The number of this thread's device."""
    return getattr(_current, "number", 0)


class Device:
    """A device by its number; the current one of this thread without a number."""

    def __init__(self, number=None):
        self.id = current() if number is None else number
        if not 0 <= self.id < runtime.getDeviceCount():
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def use(self):
        _current.number = self.id

    @property
    def pci_bus_id(self):
        return f"0000:{self.id:02d}:00.0"

    def synchronize(self):
        """There is nothing to wait for."""


runtime = types.SimpleNamespace(getDeviceCount=lambda: int(os.environ.get("STANDIN_DEVICES", "1")))
Stream = types.SimpleNamespace(null=types.SimpleNamespace(synchronize=lambda: None))
nccl = types.SimpleNamespace(available=os.environ.get("STANDIN_NCCL", "1") == "1")
