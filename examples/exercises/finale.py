"""The end of a solved exercise: a network with the student's function in it trains on digits, and draws."""

import time

import numpy as np

from tinyar import data, models, pictures, sampling, training
from tinyar.backend import one_blas_thread
from tinyar.optim import Adam

SECONDS, GOAL = 10, 2.2  # how long a network trains, and to how many bits/dim an autoregressive one comes at least
LEVELS = 17  # of the digits


class Run:
    """Training on the digits for some seconds, and drawing into the file `picture`."""

    def __init__(self, picture, seconds=SECONDS):
        self.picture, self.seconds, self.digits = picture, seconds, data.load("digits")

    @one_blas_thread()
    def train(self, model, batch_size=16, lr=3e-3):
        """Train for so many seconds; returns the figure on test images. The loop is that of training_loop.py."""
        images, begun, updates, epoch = self.digits.train.images, time.perf_counter(), 0, 0
        print(f"\nA {type(model).__name__} trains for {self.seconds:g} s on {len(images)} digits.")
        model.prepare(images)
        optimizer = Adam(model, lr)
        while time.perf_counter() - begun < self.seconds:
            order, epoch = np.random.default_rng(epoch).permutation(len(images)), epoch + 1
            for i in range(0, len(images), batch_size):
                x = images[order[i:i + batch_size]]
                model.zero_grads()
                outputs = model.forward(x)
                _, doutputs = model.loss(outputs, x)
                model.backward(doutputs, need_dx=False)
                optimizer.step()
                model.update()
                updates += 1
                if time.perf_counter() - begun >= self.seconds:
                    break
        figure = training.evaluate(model, self.digits.test.images, threads=1)
        print(f"after {updates} updates, {epoch} epochs: {figure:.3f} {model.unit} on digits that it never saw")
        print("(How many updates fit into the time depends on the machine, and the figure a little on that.)")
        return figure

    def pixels(self, model=None):
        """Train an autoregressive model, or a small PixelCNN, and draw from it."""
        model = model or models.PixelCNN(levels=LEVELS, channels=32, blocks=2, kernel_size=5)
        figure = self.train(model)
        if figure >= GOAL:
            print(f"Expected was less than {GOAL}. Your function is right, but it came to few updates in the time. Is "
                  "it slow, as a loop over pixels is, or is the machine busy?")
        self.draw(sampling.sample(model, n=36, shape=(8, 8), seed=1))
        return figure

    def codes(self, model):
        """Train a VQ-VAE, and let it draw test images again, from their codes."""
        figure, images = self.train(model), self.digits.test.images[:36]
        self.draw(model.images_of(model.codes_of(images)), "from 4x4 codes")
        return figure

    def draw(self, images, title="drawn by the model"):
        """Write images beside real ones."""
        real = self.digits.test.images[:len(images)]
        pictures.plotting.save_samples(self.picture, images, real, LEVELS, titles=(title, "real"))
        print(f"wrote {self.picture}")
