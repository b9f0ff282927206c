"""A training of several ranks that goes wrong, as said: mpiexec -n 2 python tests/failing_rank.py kill FOLDER

    raise, kill, exit       rank 1 raises an exception, is killed, or ends by itself in the second epoch
    options, images, seed   rank 1 is given others
    nan                     the learning rate is far too large
    folder                  the folder is a file
    none                    nothing goes wrong
"""

import os
import pathlib
import signal
import sys

from tinyar import data, models, training
from tinyar.training.world import world

WHAT, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
IMAGES = data.load("digits").train.images[:60]


class Training:
    """Images, in the second epoch of which rank 1 meets its fate."""

    labels = maps = None

    def for_epoch(self, epoch):
        if epoch == 1 and world().rank == 1:
            if WHAT == "raise":
                raise ValueError("something is wrong here")
            if WHAT == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if WHAT == "exit":
                sys.exit("enough")
        return IMAGES[1:] if WHAT == "images" and world().rank == 1 else IMAGES


def main():
    odd = world().rank == 1
    if WHAT == "folder":
        FOLDER.write_text("not a folder")
    model = models.PixelCNN(levels=17, channels=4, blocks=1, kernel_size=3, first_kernel=3)
    training.fit(model, Training(), epochs=3, batch_size=10 if odd and WHAT == "options" else 20, out=FOLDER,
                 lr=1e30 if WHAT == "nan" else 1e-3, seed=int(odd and WHAT == "seed"), threads=1)


if __name__ == "__main__":
    import endings
    endings.run(main, ranks=True)
