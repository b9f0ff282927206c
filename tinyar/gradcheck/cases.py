"""What `python -m tinyar.gradcheck` and the tests check: every layer and model, small, with an input for each.

A file of your own is checked by the same command if it has a function like `cases`, called `cases`: see `own_cases`.
"""

import numpy as np

from tinyar.gradcheck.layer_cases import attention_cases, combined_cases, layer_cases, normalised_cases
from tinyar.gradcheck.model_cases import autoencoder_cases, model_cases, plusplus_cases, recurrent_model_cases


def cases():
    """Every layer and model, a list of Case."""
    rng = np.random.default_rng(0)
    return [*layer_cases(rng), *combined_cases(rng), *normalised_cases(rng), *attention_cases(rng), *model_cases(),
            *plusplus_cases(), *recurrent_model_cases(), *autoencoder_cases()]
