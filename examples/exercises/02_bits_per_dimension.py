"""Exercise 02: bits per dimension, and what a model must at least do better than.

    python examples/exercises/02_bits_per_dimension.py

A model gives an image x the probability p(x). The better it knows images, the larger p is for images that it never saw.
Papers report that as bits per dimension. A dimension is a sub-pixel: one colour of one pixel. An image has
D = height * width * channels of them. For N images:

    bits/dim = mean over images of  -log2 p(x) / D        log2 p = log p / log 2,  log is the natural logarithm

Zero is the best; a uniform guess among L levels costs log2(L). Two models that need no network come in between.

Frequencies. Each pixel has level k with the same probability p_k, whatever its place. p_k is how often k stands in the
training images. One is added to each count, or a level that never occurred would have probability 0 and cost
infinitely much. With n_k pixels of level k in the training images, and n pixels in all:

    p_k = (n_k + 1) / (n + L)

The test images are judged by these probabilities: the mean over their pixels of -log2 p_(level of the pixel).

Frequencies by place. Now each place (r, c) has probabilities of its own, counted over the N training images at that
place:

    p_(r,c),k = (n_(r,c),k + 1) / (N + L)

NumPy: images == k is True where the level is k; (images == k).sum(axis=0) counts at each place. p[images] looks up p
(L) for each pixel. With r, c = np.indices((height, width)), p[r, c, images] looks it up in p (height, width, L).
"""

import judge  # first: see there

import numpy as np

from tinyar import losses, models, pictures, sampling
from tinyar.likelihoods import Categorical


def bits_per_dim(log_p, shape):
    """Bits per dimension.

    log_p (N), log p(x) of N whole images, natural logarithms; shape (height, width, channels)
    Returns a number.
    """
    raise NotImplementedError


def frequencies(train, test, levels):
    """Bits per dimension of test images, by how often each level stands in the training images.

    train (N, height, width), test (M, height, width), whole numbers 0 .. levels - 1
    Returns a number.
    """
    raise NotImplementedError


def frequencies_by_place(train, test, levels):
    """The same with probabilities for each place. Shapes as above. Returns a number."""
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def bits(logits, images):
    """What images (M, height, width) cost by softmax(logits); logits (levels) or (height, width, levels)."""
    return losses.bits_per_dim(losses.nats(np.broadcast_to(logits, (*images.shape, logits.shape[-1])), images).mean())


def counts(images, levels):
    """How often each level stands at each place: (height, width, levels)."""
    return np.eye(levels)[images].sum(axis=0)


def rules(bits_per_dim, frequencies, frequencies_by_place):
    """The rules, in the order of the derivation."""
    yield from rules_of_the_unit(bits_per_dim)
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 3, (7, 2, 4)), rng.integers(0, 4, (5, 2, 4))  # no 3 in the training images
    test[0, 0, 0] = 3
    by_place, all_places = counts(train, 4), counts(train, 4).sum(axis=(0, 1))
    p = (all_places + 1) / (train.size + 4)
    right = bits(np.log(p), test)
    yield judge.Rule("frequencies: the test images by smoothed counts", "frequencies", frequencies(train, test, 4),
                     right, {
        "1 isn't added to the counts: a level that never occurred has p = 0 and costs infinitely much.": np.nan,
        "n + L is the sum of all n_k + 1. Divided by n alone, the p_k don't add up to 1.":
            right - np.log2((train.size + 4) / train.size),
        "Count in the training images. A model may not look at the test images.":
            bits(np.log(counts(test, 4).sum(axis=(0, 1)) + 1), test),
        "This is the mean over the levels that the model expects. Take it over the pixels of the test images.":
            -(p * np.log2(p)).sum(),
        "This judges the training images. The test images are asked for.": bits(np.log(p), train),
        "This is in nats: use log2, or divide by log 2.": right * np.log(2)})
    right = bits(np.log(by_place + 1), test)
    yield judge.Rule("frequencies_by_place: each place has its own", "frequencies_by_place",
                     frequencies_by_place(train, test, 4), right, {
        "These are the frequencies of all places together. Count each place by itself: axis=0.": bits(np.log(p), test),
        "1 isn't added to the counts: a level that never occurred has p = 0 and costs infinitely much.": np.nan,
        "At one place there are N training images, so p = (count + 1) / (N + L).":
            right + np.log2((train.size + 4) / (len(train) + 4)),
        "N + L is the sum of the counts + 1 at a place. Divided by N alone, the p_k don't add up to 1.":
            right - np.log2((len(train) + 4) / len(train)),
        "This is in nats: use log2, or divide by log 2.": right * np.log(2)})


def rules_of_the_unit(bits_per_dim):
    """The rules of bits_per_dim."""
    log_p, shape = np.array([-70., -65, -81, -90]), (4, 5, 3)
    right = losses.bits_per_dim(-log_p.mean() / 60)
    yield judge.Rule("bits per dimension of four images", "bits_per_dim", bits_per_dim(log_p, shape), right, {
        "The sign is turned: -log2 p is positive.": -right,
        "This is in nats: divide by log 2.": right * np.log(2),
        "log2 p is log p DIVIDED by log 2.": right * np.log(2) ** 2,
        "This is divided by log 10. The unit is bits: log 2.": right * np.log(2) / np.log(10),
        "These are bits an image. Divide by D, the number of sub-pixels.": right * 60,
        "D counts the channels too: height * width * channels.": right * 3,
        "This is the sum over images. It is their mean.": right * len(log_p),
        "These are four figures, one an image. Take their mean.": losses.bits_per_dim(-log_p / 60)})


def finale(run, bits_per_dim, frequencies, frequencies_by_place):
    """The ladder from knowing nothing to a PixelCNN, measured by your functions."""
    train, test = (split.images[..., 0] for split in (run.digits.train, run.digits.test))
    model = models.PixelCNN(levels=17, channels=32, blocks=2, kernel_size=5)
    run.train(model)
    log_p = -Categorical(17).nats(model(test[..., None]), test[..., None]).sum(axis=(1, 2, 3))  # (images)
    figure = bits_per_dim(log_p, (8, 8, 1))
    print("\nbits/dim on digits never seen, by your functions:"
          f"\n  {np.log2(17):.3f}  knowing nothing\n  {frequencies(train, test, 17):.3f}  frequencies"
          f"\n  {frequencies_by_place(train, test, 17):.3f}  frequencies by place\n  {figure:.3f}  the PixelCNN")
    logits = np.broadcast_to(np.log(counts(train, 17) + 1), (36, 8, 8, 17))
    by_place = Categorical(17).sample(logits, np.random.default_rng(0).random((36, 8, 8)))[..., None]
    pictures.plotting.save_samples(run.picture, by_place, sampling.sample(model, 36, (8, 8), seed=1), 17,
                                   titles=("frequencies by place", "PixelCNN"))
    print(f"wrote {run.picture}")
    return figure


EXERCISE = judge.Exercise(
    write={"bits_per_dim": "bits", "frequencies": "bits", "frequencies_by_place": "bits"}, rules=rules, finale=finale,
    read=(losses.bits_per_dim, losses.nats))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
