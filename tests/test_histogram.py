"""Histograms: shares, not counts; all sets in the same bins; numbers far apart on a logarithmic axis."""

import numpy as np
import pytest
from PIL import Image

from tinyar.pictures import histogram

RNG = np.random.default_rng(0)
NEAR, FAR = RNG.normal(50, 3, 400), RNG.normal(3000, 100, 30)


@pytest.fixture
def axes_of(monkeypatch, tmp_path):
    """A function that draws and returns the axes, and the texts of the legend."""
    def draw(sets, **options):
        kept = []
        with monkeypatch.context() as patch:
            patch.setattr(histogram, "save_figure", lambda path, figure: kept.append(figure))
            histogram.save_histograms(tmp_path / "picture.png", sets, "nats", **options)
        kept[0].canvas.draw()
        return kept[0].axes[0], [text.get_text() for text in kept[0].legends[0].get_texts()]
    return draw


def bars(axes, sets):
    """The heights of the bars of each set, and the edges."""
    patches = np.array(axes.patches).reshape(sets, -1)
    edges = [patch.get_x() for patch in patches[0]] + [patches[0][-1].get_x() + patches[0][-1].get_width()]
    return np.array([[patch.get_height() for patch in row] for row in patches]), edges


def test_bars_are_shares_in_common_bins_with_a_line_at_each_mean(axes_of):
    axes, legend = axes_of({"one": NEAR, "other": NEAR[:50] + 9}, mark=(47, "here"))
    heights, edges = bars(axes, 2)
    np.testing.assert_allclose(heights.sum(axis=1), 1)
    np.testing.assert_allclose(heights[1], np.histogram(NEAR[:50] + 9, edges)[0] / 50)
    lines = [line.get_xdata()[0] for line in axes.lines]
    np.testing.assert_allclose(lines, [NEAR.mean(), NEAR[:50].mean() + 9, 47])
    assert legend == [f"one: mean {NEAR.mean():.4g}", f"other: mean {NEAR[:50].mean() + 9:.4g}", "here"]
    assert axes.get_xscale() == "linear" and axes.get_xlabel() == "nats"


def test_numbers_that_are_far_apart_get_a_logarithmic_axis_with_plain_numbers(axes_of):
    axes, _ = axes_of({"near": NEAR, "far": FAR})
    heights, _ = bars(axes, 2)
    np.testing.assert_allclose(heights.sum(axis=1), 1)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert axes.get_xscale() == "log" and "1,000" in labels and not any("$" in label for label in labels)
    axes, _ = axes_of({"near": NEAR, "far": -FAR})  # below 0 there is no logarithm
    assert axes.get_xscale() == "linear"


def test_equal_numbers_fill_one_bar(axes_of):
    axes, _ = axes_of({"equal": np.zeros(7)})
    np.testing.assert_allclose(bars(axes, 1)[0], [[1]])


def test_it_is_written_as_a_picture(tmp_path):
    histogram.save_histograms(tmp_path / "a" / "picture.png", {"near": NEAR, "$x$": FAR}, "nats")
    with Image.open(tmp_path / "a" / "picture.png") as picture:
        assert picture.size == (800, 450) and np.asarray(picture).std() > 10


@pytest.mark.parametrize("sets", [{}, {"empty": []}, {"a": [1], "b": [np.nan]}])
def test_what_cannot_be_counted_is_refused(tmp_path, sets):
    with pytest.raises(ValueError, match="sets: expected at least one"):
        histogram.save_histograms(tmp_path / "picture.png", sets, "nats")
    assert not list(tmp_path.iterdir())
