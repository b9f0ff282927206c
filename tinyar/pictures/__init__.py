"""Looking: grids of images (grids.py), curves and files (plotting.py), histograms (histogram.py), films (film.py), the
probabilities of levels (levels.py), and what a network sees (receptive_fields.py, attention.py).
"""

from tinyar.pictures.film import Film
from tinyar.pictures.plotting import (enlarge, grid, save_curve, save_curves, save_figure, save_image,
                                      save_samples, save_usage)
from tinyar.pictures.receptive_fields import (earlier_pixels, receptive_field, save_masks, save_receptive_field)

__all__ = ["Film", "enlarge", "grid", "save_curve", "save_curves", "save_figure", "save_image", "save_samples",
           "save_usage", "earlier_pixels", "receptive_field", "save_masks", "save_receptive_field"]
