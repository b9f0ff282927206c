"""What the checks raise."""


class ContractError(AssertionError):
    """A layer breaks a rule of the contract; the message says which, where, and what to do."""


class GradientError(ContractError):
    """A backward pass disagrees with finite differences; the message names layer, tensor, index, expected and got."""


def broken(layer, rule, found, mend):
    """The ContractError for a rule: what was found, and what to do."""
    return ContractError(f"{type(layer).__name__} breaks the rule that {rule}: {found}. {mend}")
