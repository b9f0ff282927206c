"""Lesson: the training loop in plain code. `tinyar.training.fit` does the same, and much around it.

    python examples/training_loop.py

Trains a small PixelCNN on the 8x8 digits that come with tinyar, and prints bits per dimension: those of the epoch, and
those of digits that it isn't trained on. Then it draws a few.
"""

if __name__ == "__main__":
    import endings  # first, so that Ctrl-C ends the imports too in one line

import numpy as np

from tinyar import data, models, sampling
from tinyar.backend import one_blas_thread, to_device
from tinyar.optim import Adam


@one_blas_thread()  # matrices this small are multiplied faster by one core than by several that wait for each other
def train(model, images, held_out, epochs, batch_size=16, lr=3e-3, seed=0):
    """Move the weights of the model towards a smaller loss on images (N, height, width, channels), integers."""
    optimizer = Adam(model, lr)
    for epoch in range(1, epochs + 1):
        order, total = np.random.default_rng([seed, epoch]).permutation(len(images)), 0.0
        for i in range(0, len(images), batch_size):
            x = to_device(images[order[i:i + batch_size]])
            model.zero_grads()                            # backward adds to the gradients
            outputs = model.forward(x)                    # the logits (batch, height, width, 1, levels)
            loss, doutputs = model.loss(outputs, x)       # mean -ln p of a pixel, and its gradient by the outputs
            model.backward(doutputs, need_dx=False)       # the gradient by every weight
            optimizer.step()                              # every weight moves against its gradient
            model.update()                                # codebooks move too; a PixelCNN has none
            total += float(loss) * len(x)
        cost = float(model.score(to_device(held_out))) / held_out.size
        print(f"epoch {epoch}: {model.figure(total / len(images)):.3f} bits/dim, "
              f"held out {model.figure(cost):.3f}")


def main():
    digits = data.load("digits")
    pixelcnn = models.PixelCNN(levels=17, channels=32, blocks=2, kernel_size=5)
    train(pixelcnn, digits.train.images, digits.test.images, epochs=6)
    drawn = sampling.sample(pixelcnn, n=8, shape=(8, 8), seed=1)
    for row in np.concatenate(drawn[..., 0], axis=1):  # the images side by side, (8, 64)
        print("".join(" .:-=+*#%@"[level * 10 // 17] for level in row))


if __name__ == "__main__":
    endings.run(main)
