"""The special functions that tinyar needs, computed by SciPy on the stand-in's arrays."""

from cupy import Ufunc, _function
from scipy import special

__all__ = ["expit", "log_expit", "log_softmax", "logsumexp", "softmax"]

expit = Ufunc(special.expit)
log_expit = Ufunc(special.log_expit)
log_softmax = _function(special.log_softmax)
logsumexp = _function(special.logsumexp)
softmax = _function(special.softmax)
