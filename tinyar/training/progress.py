"""Where a run stands, as numbers that a file can hold."""

import math
import struct
import zlib
from dataclasses import dataclass


@dataclass
class Progress:
    """Where a run stands: updates in all, images seen in this epoch, and what they cost so far."""

    epoch: int = 1
    updates: int = 0
    images: int = 0  # seen in this epoch
    loss: float = 0.0  # mean loss per sub-pixel, as score measures it, summed over those images
    seconds: float = 0.0
    rates: int = 0  # checksum of the learning rates of all updates so far

    def add_rate(self, rate):
        """Take the learning rate of one more update into the checksum."""
        self.rates = zlib.crc32(struct.pack("d", rate), self.rates)

    def check(self, rows, batch_size):
        """Raise ValueError for numbers that can't be, in themselves or after the epochs in `rows`."""
        whole = self.epoch, self.updates, self.images, self.rates
        if not all(type(number) is int and number >= 0 for number in whole):
            raise ValueError(f"progress: expected whole numbers, got {whole}")
        if not (math.isfinite(self.loss) and 0 <= self.seconds < math.inf):
            raise ValueError(f"progress: expected finite numbers, got a loss of {self.loss} and {self.seconds} seconds")
        before = rows[-1]["updates"] if rows else 0
        if self.epoch != len(rows) + 1 or self.updates != before + -(-self.images // batch_size):
            raise ValueError(f"progress: {self.updates} updates and {self.images} images of epoch {self.epoch} "
                             f"don't follow on {len(rows)} epochs and {before} updates")
