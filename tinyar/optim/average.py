"""Averages of the weights over the latest updates."""

import contextlib

from tinyar.backend import fuse
from tinyar.optim.arrays import check_arrays, check_count_of_updates, copy_arrays


class WeightAverage:
    """A running mean of the weights (Polyak averaging), which usually predicts better than the weights themselves.

        average <- d average + (1 - d) param        d = min(decay, (1 + t) / (10 + t))

    The average starts as the weights; d grows with t, so that an average over few updates isn't mostly the random
    start. Train with the weights, evaluate and draw inside `with average.applied():`.
    """

    def __init__(self, model, decay=0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"WeightAverage: expected a decay in [0, 1), got {decay!r}")
        self.model, self.decay = model, decay
        self.restart()

    def restart(self):
        """Begin anew from the weights of this moment."""
        self.t = 0
        self.average = {name: param.copy() for name, param, _ in self.model.parameters()}

    def update(self):
        """Take the weights of this moment into the mean: once after every optimizer step."""
        self.t += 1
        d = min(self.decay, (1 + self.t) / (10 + self.t))
        for name, param, _ in self.model.parameters():
            average_update(self.average[name], param, 1 - d)

    @contextlib.contextmanager
    def applied(self):
        """Inside, the model's weights are the averages; afterwards they are as before."""
        weights = {name: param.copy() for name, param, _ in self.model.parameters()}
        try:
            self.copy_to_model()
            yield self.model
        finally:
            copy_arrays(weights, {name: param for name, param, _ in self.model.parameters()})

    def copy_to_model(self):
        """Make the averages the model's weights, for good."""
        copy_arrays(self.average, {name: param for name, param, _ in self.model.parameters()})

    def state(self):
        """{"t": int, "average": {name: array}}. The arrays are its own, which updates move: save them, or copy them."""
        return {"t": self.t, "average": self.average}

    def check_state(self, state):
        """Raise ValueError for the state of another model's average."""
        if state.keys() != self.state().keys():
            raise ValueError(f"WeightAverage: expected a state of t, average, got one of {', '.join(state)}")
        check_count_of_updates(state["t"])
        check_arrays(state["average"], self.average)

    def load_state(self, state):
        """Go on from what `state` returned."""
        self.check_state(state)
        self.t = state["t"]
        copy_arrays(state["average"], self.average)


@fuse
def average_update(average, param, share):
    """The formula for one parameter; share is 1 - d."""
    average += share * (param - average)
