"""What the checks raise."""

import contextlib
import traceback


class ContractError(AssertionError):
    """A layer breaks a rule of the contract; the message says which, where, and what to do."""


class GradientError(ContractError):
    """A backward pass disagrees with finite differences; the message names layer, tensor, index, expected and got."""


def broken(layer, rule, found, mend):
    """The ContractError for a rule: what was found, and what to do."""
    return ContractError(f"{type(layer).__name__} breaks the rule that {rule}: {found}. {mend}")


@contextlib.contextmanager
def running(layer, entrance):
    """A context in which an error within an entrance of the layer becomes a ContractError that says where it arose."""
    try:
        yield
    except ContractError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        if frame.name == "take_cache":
            raise broken(layer, "forward keeps what backward reads", str(error), HINTS["forward"]) from error
        raise broken(layer, f"{entrance} runs", f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno}, in "
                     f"{frame.name})", HINTS[entrance]) from error


HINTS = {
    "layer(x)": "Write __call__(self, x): the formula, for inference",
    "forward": "Write forward(self, x): the formula, and self.cache = what backward reads",
    "backward": "Write backward(self, dy, need_dx=True): begin with self.take_cache(), add into self.grads, return dx",
    "loss": "Write loss(self, outputs, x, weight=1.0): (a mean, its gradient by outputs), both times weight",
    "costs": "Write costs(self, x, condition=None): what each image costs, summed over its sub-pixels, (batch,)",
    "penalty": "Write penalty(self): the part of the last batch's mean loss that costs leave out",
    "draw": "Write draw of the likelihood: fill in, in place, what isn't kept of pixel (see tinyar.likelihoods)",
    "update": "Write update(self): move self.state by self.sums, in place, and call super().update()",
    "condition_gradient": "Write condition_gradient(self): the gradient by the last condition",
    "start": "Write start(self, batch, height, width) if the layer remembers anything, and call super().start there",
    "step": "Write step(self, x, at): the output (batch, channels) at the pixel at = (row, col)",
    "step_row": "Write step_row(self, x, row): the outputs (batch, width, channels) of one row",
    "see": "Write see(self, x, at): remember the input at a pixel, compute nothing",
}
