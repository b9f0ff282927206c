"""Distorted training images: a share that falls to none, the same at every call, and still digits."""

import sys

import numpy as np
import pytest
from test_examples import EXAMPLES

from tinyar import data

sys.path.insert(0, str(EXAMPLES))
import distortion  # noqa: E402

DIGITS = data.load("digits")


def changed(dataset, epoch):
    return (dataset.train.for_epoch(epoch) != dataset.train.images).any(axis=(1, 2, 3)).mean()


@pytest.mark.parametrize("levels", [2, 5, 17])
def test_the_share_falls_evenly_to_none_in_the_last_epoch(levels):
    dataset = distortion.distorted(data.load("digits", levels=levels), DIGITS, share=0.8, epochs=5, seed=0)
    shares = [changed(dataset, epoch) for epoch in range(5)]
    for found, share in zip(shares, (0.8, 0.6, 0.4, 0.2, 0)):
        assert 0.6 * share <= found <= share + 0.06  # some stay as they were: in black and white more
    images = dataset.train.for_epoch(0)
    assert images.dtype == np.uint8 and images.max() == levels - 1 and images.shape == dataset.train.images.shape
    np.testing.assert_array_equal(images, dataset.train.for_epoch(0))
    assert (images != dataset.train.for_epoch(1)).any()
    assert dataset.validation.for_epoch(0) is dataset.validation.images and dataset.test.redraw is None


def test_one_epoch_has_the_whole_share():
    dataset = distortion.distorted(DIGITS, DIGITS, share=1.0, epochs=1, seed=0)
    assert changed(dataset, 0) > 0.95


def test_a_distorted_digit_is_near_the_one_that_it_was():
    dataset = distortion.distorted(DIGITS, DIGITS, share=1.0, epochs=2, seed=0)
    images, turned = DIGITS.train.images.astype(float), dataset.train.for_epoch(0).astype(float)
    own, others = np.square(turned - images).mean(), np.square(turned - np.roll(images, 1, axis=0)).mean()
    assert own < 0.2 * others


def test_the_identity_and_a_quarter_turn():
    image = DIGITS.train.images[0]
    np.testing.assert_array_equal(distortion.distort(image, np.eye(2)), image)
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(distortion.distort(image, quarter), np.rot90(image, -1))


def test_shear_leans_what_stands_and_leaves_what_lies(monkeypatch):
    monkeypatch.setattr(distortion, "ANGLE", 0)
    monkeypatch.setattr(distortion, "STRETCH", 0)
    monkeypatch.setattr(distortion, "SHEAR", 0.5)
    matrices = [distortion.random_matrix(np.random.default_rng(seed)) for seed in range(9)]
    standing, lying = np.zeros((9, 9, 1), np.uint8), np.zeros((9, 9, 1), np.uint8)
    standing[1:8, 4], lying[4, 1:8] = 16, 16
    for matrix in matrices:
        leaning = distortion.distort(standing, matrix)[..., 0]
        columns = (leaning @ np.arange(9)) / np.maximum(leaning.sum(axis=1), 1)
        assert np.isclose(columns[6] - columns[2], -4 * matrix[1, 0], atol=0.1) and abs(matrix[1, 0]) <= 0.5
        np.testing.assert_array_equal(distortion.distort(lying, matrix), lying)


def test_colours_move_together():
    image = np.repeat(DIGITS.train.images[0], 3, axis=2)
    turned = distortion.distort(image, distortion.random_matrix(np.random.default_rng(0)))
    assert (turned == turned[..., :1]).all() and (turned != image).any()


def test_labels_stay_beside_their_images():
    dataset = distortion.distorted(DIGITS, DIGITS, share=0.5, epochs=2, seed=3)
    assert dataset.train.labels is DIGITS.train.labels
