"""Proof: is a backward pass right, and does a layer keep the contract?

    check(layer, x)         backward beside finite differences, for x and every parameter (differences.py)
    check_layer(layer, x)   the whole contract of tinyar.layer, rule by rule (contract.py)

    python -m tinyar.gradcheck             every layer and model of tinyar, as a table (cases.py)
    python -m tinyar.gradcheck FILE.py     the layers that a file of yours offers: see `own_cases`
"""

from tinyar.gradcheck.call import shake
from tinyar.gradcheck.case import Case, own_cases
from tinyar.gradcheck.cases import cases
from tinyar.gradcheck.contract import check_layer
from tinyar.gradcheck.differences import TOLERANCE, Comparison, check
from tinyar.gradcheck.errors import ContractError, GradientError

__all__ = ["check", "check_layer", "shake", "Comparison", "GradientError", "ContractError", "TOLERANCE", "Case",
           "cases", "own_cases"]
