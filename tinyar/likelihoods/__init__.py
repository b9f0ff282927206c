"""What a network's outputs mean: the contract, a softmax over levels, a mixture of logistics."""

from tinyar.likelihoods.categorical import Categorical
from tinyar.likelihoods.contract import Likelihood
from tinyar.likelihoods.mixture import LogisticMixture

__all__ = ["Likelihood", "Categorical", "LogisticMixture"]
