"""The whole contract of a layer: every case of the library keeps it, and each rule, broken on purpose, is noticed."""

import copy
import re
import threading

import numpy as np
import pytest
from broken_layers import (
    Appends, Assigns, AssignsWithoutDx, Backwards, Blind, CacheInList, CacheOfTheClass, CopiesParams, Float64,
    Float64InBackward, Float64InInference, ForgetsBias, ForgetsX, Hides, HidesInClass, HidesInDict,
    HidesInNestedList, HidesInObject, IgnoresNeedDx, KeepsInInference, KeepsOldRows, KeepsRowsOfSameSize,
    KeepsTheFirstMemory, KeepsUpdateToItself, LeavesCache, LeavesTooEarly, MasksWeights, MixesImages, MovesState,
    NextPixel, NoGradient, NoInit, NoNeedDx, NoStep, OneGradientOfTwo, OtherForward, OtherNames, OtherShape, Rolls,
    SendsBack, SharesChild, SharesGrads, SharesSums, StandsTwice, StateNamedLikeAParam, StateOfIntegers,
    StepOfOneImage, SumsInInference, TanhInList, TanhLeavesCache, TupleOfOne, UpdateFails, WAYS, WritesDy,
    WritesDyWithoutDx, WritesX, WritesXInBackward, WritesXInInference, WritesXInStep, WrongDx, WrongInOnePlace,
    WrongRow, WrongShape, WrongShapeOfDx, WrongStep)
from broken_models import (
    ComputesInFloat64, CostsOfFew, CostsOfNaN, CostsOfTheBatch, CostsTheMean, CostsWithoutImages, DrawFails,
    ForgetsKeep, GradientOfSome, KeepsAllOrNothing, LaterColorsAreDark, OldSignature, OneCost, OneTooDark,
    PenaltyFails, TooCheap, TwiceTooSteep, WithPenalty, WithoutGradient, WithoutLevels, WithoutWeight, WrapsAround,
    WritesIntoIntegers, with_likelihood)
from right_layers import (
    Above, ByPlace, CountsLevels, LargeLoss, LeakyReLU, MeanOfImage, Network, OwnChain, Pair, Scale, ShiftedSoftmax,
    SumOfTwo, Tanh, TwoWays, Unchanged, Widen, WithConstants, WithLaterList, WithTuple, masked)

from tinyar import gradcheck, layers, sampling
from tinyar.backend import on_gpu, to_host, xp
from tinyar.conditions import Conditional
from tinyar.gradcheck import ContractError, GradientError, check_layer
from tinyar.gradcheck.call import Call, random_like
from tinyar.gradcheck.drawing import draws
from tinyar.layer import Layer
from tinyar.layers import Chain, Conv2d, Linear, MaskedConv2d, ReLU, Residual, Sum
from tinyar.layers.combine import stays_at_its_pixel
from tinyar.models import PixelCNN
from tinyar.models.snail import SnailBlock

CASES = gradcheck.cases()
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
IMAGES = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
LEVELS = np.random.default_rng(0).integers(0, 3, (2, 4, 5, 1))
COLORS = np.random.default_rng(0).integers(0, 3, (2, 4, 5, 3))


# -- every case --------------------------------------------------------------------------------------------------------


def copies(arrays):
    return {name: to_host(array).copy() for name, array in arrays}


def float64_call(case):
    """A copy of the layer in float64, its parameters moved away from 0, beside its inputs."""
    return Call(gradcheck.shake(copy.deepcopy(case.layer).astype(xp.float64)), *case.inputs())


@EVERY_CASE
def test_every_case_keeps_the_contract(case):
    x, condition = case.inputs(seed=2)
    before, x_before = copies(case.layer.arrays()), [np.array(part) for part in (x if isinstance(x, tuple) else (x,))]
    few = min(3, case.entries)  # test_gradcheck.py has more of each tensor
    comparisons = check_layer(case.layer, x, condition=condition, causal=case.causal, entries=few, seed=1)
    assert max(comparison.relative_error for comparison in comparisons) < 1e-6
    assert {name for name, _, _ in case.layer.parameters()} <= {comparison.name for comparison in comparisons}
    # the layer itself isn't touched
    for name, array in case.layer.arrays():
        assert array.dtype == xp.float32
        np.testing.assert_array_equal(to_host(array), before[name])
    assert all(part.cache is None for _, part in case.layer.layers())
    assert not any(grad.any() for _, _, grad in case.layer.parameters())
    for part, same in zip(x if isinstance(x, tuple) else (x,), x_before):
        np.testing.assert_array_equal(part, same)


def test_all_is_drawn_that_can_be():
    drawn = {case.title for case in CASES if draws(float64_call(case))}
    not_drawn = (layers.Reshape, layers.Repeat, layers.VectorQuantizer, Conv2d, layers.ConvTranspose2d,
                 layers.GatedBlock, layers.AboveAndLeft, layers.CausalAttention, SnailBlock)
    row_by_row = ("ShiftedConv2d 2x3", "ShiftedConv2d, weight norm", "HalvingConv2d 2x3", "HalvingConv2d, weight norm",
                  "PlainFirst", "GatedResNet, skip, dropout", "Units", "SkipUnits", "Halving")
    for case in CASES:
        pixel_by_pixel = not isinstance(case.layer, not_drawn) and case.title not in row_by_row
        assert (case.title in drawn) == (pixel_by_pixel and "VQVAE" not in case.title), case.title


@EVERY_CASE
@pytest.mark.parametrize("need_dx", [True, False])
def test_a_second_backward_doubles_every_gradient(case, need_dx):
    call, found = float64_call(case), []
    call.layer.zero_grads()
    for _ in range(2):
        call.backward(random_like(call.forward(), np.random.default_rng(0)), need_dx=need_dx)
        found.append(copies((name, grad) for name, _, grad in call.layer.parameters()))
    once, twice = found
    for name, grad in once.items():
        np.testing.assert_allclose(twice[name], 2 * grad, rtol=1e-9, atol=1e-9 * abs(grad).max())
    assert any(grad.any() for grad in once.values()) or not once


def assigning(kind):
    """The same layer with `=` for `+=` in its backward: what gradients there were before are lost."""
    def backward(self, *dy, **options):
        for grad in self.grads.values():
            grad[...] = 0
        return kind.backward(self, *dy, **options)
    return type(kind.__name__, (kind,), {"backward": backward})


@EVERY_CASE
def test_an_assignment_for_a_sum_is_noticed_in_every_layer(case):
    """In one layer of each kind in the tree; in models of very many tensors, of the kinds that stand nowhere else."""
    x, condition = case.inputs()
    elsewhere = {type(part) for other in CASES if other.entries > case.entries for _, part in other.layer.layers()}
    for kind, path in {type(part): path for path, part in case.layer.layers() if part.params}.items():
        if kind in elsewhere:
            continue
        layer = copy.deepcopy(case.layer)
        part = dict(layer.layers())[path]
        part.__class__ = assigning(kind)
        names = "|".join(re.escape(f"{path}.{name}".strip(".")) for name in part.params)
        with pytest.raises(ContractError, match=f"gradients add up: .* does not double the gradient of ({names})"):
            check_layer(layer, x, condition=condition, causal=case.causal, entries=2)


# -- right layers pass -------------------------------------------------------------------------------------------------


def layer_name(value):
    """For the names of tests."""
    return type(value).__name__ if isinstance(value, Layer) else None


@pytest.mark.parametrize("layer, x", [
    (Scale(), IMAGES), (Above(), IMAGES), (Tanh(), IMAGES), (LeakyReLU(), IMAGES),
    (Network(lambda: [masked(1, 3, "A")]), LEVELS), (TwoWays(), IMAGES), (ByPlace(), IMAGES),
    (CountsLevels(), LEVELS), (LargeLoss(), LEVELS),
    (Network(lambda: [masked(3, 6, "A", 3), masked(6, 9, "B", 3)], 3), COLORS),
    (WithConstants(), IMAGES), (WithTuple(), IMAGES), (WithLaterList(), IMAGES), (MeanOfImage(), IMAGES),
    (Unchanged(), IMAGES), (Chain(Scale(), Unchanged(), Scale()), IMAGES), (Pair(), (IMAGES, IMAGES[::-1])),
    (masked(3, 4, "A"), IMAGES[:, :1, :1]),  # one pixel
    (masked(3, 4, "B"), IMAGES[:, :1]), (masked(3, 4, "A", size=7), IMAGES[:, :, :1]),  # one row, one column
    (Scale(), IMAGES[:, 0, 0]), (Scale(), COLORS), (Scale(), COLORS.astype(np.uint8)), (Scale(), IMAGES.tolist()),
    (Sum(Above(), Scale()), IMAGES), (Chain(), IMAGES), (Chain(Conv2d(3, 2, 3, 1, 1), MeanOfImage()), IMAGES),
], ids=layer_name)
def test_a_right_layer_passes(layer, x):
    assert max(comparison.relative_error for comparison in check_layer(layer, x)) < 1e-6


@pytest.mark.parametrize("own_pixel, mask", [(True, "B"), (False, "A"), (None, "B")])
def test_a_layer_may_read_its_own_pixel_unless_told_otherwise(own_pixel, mask):
    check_layer(masked(3, 4, mask), IMAGES, own_pixel=own_pixel)


def test_causality_is_checked_only_where_it_is_meant():
    check_layer(Conv2d(3, 3, 3, 1, 1), IMAGES)
    with pytest.raises(ContractError, match="nothing depends on a later pixel"):
        check_layer(Conv2d(3, 3, 3, 1, 1), IMAGES, causal=True)
    check_layer(WrongStep(), IMAGES, causal=False)


# -- each rule, broken -------------------------------------------------------------------------------------------------

MASK = "The first layer needs mask A; later ones may have mask B"
REPEATED = "a step may be repeated at a pixel, and the last x counts"
BY_POSITION = "Write memory by position, .* append, roll or pop nothing"
FORGETS = "start forgets everything: at pixel .* In a second drawing something was left over from the first"
SEEN = "see makes a pixel known: .* let see write x into the memory that later steps read"
STAY = "parameters and states stay during a batch: forward or backward changed"
UNTOUCHED = "Both may belong to others: make a new array instead of"
IN_A_LIST = "Make it an attribute of its own, or put it into a flat list"
FLOATS = r"float32 parameters compute in float32: .* float64. Use Python floats \(2 \*\* 0.5\)"
STEPS = "a step computes what forward computes"


@pytest.mark.parametrize("layer, x, message", [
    # causality
    (NextPixel(), IMAGES, r"nothing depends on a later pixel: x at \(0, 1\) changes the output at \(0, 0\), .*"
                          "Look only at rows above, and at columns to the left in the own row"),
    (Chain(Scale(), NextPixel()), IMAGES, "nothing depends on a later pixel"),
    (Backwards(), IMAGES, "nothing depends on a later pixel"),
    (Network(lambda: [masked(1, 3, "A"), NextPixel(), NextPixel()]), LEVELS, "nothing depends on a later pixel"),
    (Network(lambda: [masked(1, 3, "B")]), LEVELS,
     rf"nothing depends on its own pixel: x at \(0, 0\) changes the output there. {MASK}"),
    (Network(lambda: [Sum(masked(1, 3, "A"), Linear(1, 3))]), LEVELS, "nothing depends on its own pixel"),
    (Network(lambda: [masked(3, 6, "A", 3), Linear(6, 9)], 3), COLORS,
     r"a colour depends on earlier colours of its pixel alone: at pixel \(0, 0\) colour 0 of x changes the outputs of "
     "colour 0. Give every layer the model's colors"),
    (Network(lambda: [masked(3, 6, "B", 3), masked(6, 9, "B", 3)], 3), COLORS,
     "a colour depends on earlier colours of its pixel alone"),
    # drawing
    (WrongRow(), IMAGES, "a step of a row computes what forward computes: at row 1 they differ"),
    (ForgetsX(), IMAGES, rf"{STEPS}: at pixel \(1, 0\) of 4 x 5 they differ .* write x into the memory"),
    (WrongStep(), IMAGES, rf"{STEPS}: at pixel \(0, 0\) of 4 x 5 they differ by \d"),
    (StepOfOneImage(), IMAGES, rf"{STEPS}: at pixel \(0, 0\) .*shape.* \(1, 3\).* \(2, 3\)"),
    (Network(lambda: [masked(1, 3, "A"), WrongStep()]), LEVELS, STEPS),
    (Appends(), IMAGES, rf"{REPEATED}: at pixel \(0, 1\) of 4 x 5 they differ .*{BY_POSITION}"),
    (Rolls(), IMAGES, f"{REPEATED}: at pixel .* of 4 x 5 they differ .*{BY_POSITION}"),
    (KeepsOldRows(), IMAGES, FORGETS),
    (KeepsRowsOfSameSize(), IMAGES, FORGETS),
    (KeepsTheFirstMemory(), IMAGES, "start forgets everything"),
    (Blind(), IMAGES, SEEN),
    (Network(lambda: [Widen(), Scale(), Blind()]), LEVELS, SEEN),
    (WritesXInStep(), IMAGES, r"nobody writes into x: step or see changed x at pixel \(0, 0\)"),
    (Network(lambda: [masked(1, 3, "A"), NoStep()]), LEVELS, "images can be drawn: a layer in it has no step. Give"),
    # need_dx
    (NoNeedDx(), IMAGES, r"backward takes need_dx: .*TypeError .*Write def backward\(self, dy, need_dx=True\)"),
    (IgnoresNeedDx(), IMAGES, "need_dx=False leaves dx out: backward returned a dx all the same. Return None then"),
    (LeavesTooEarly(), IMAGES, "need_dx=False changes no gradient: the gradient of w differs. "
                               "Add to self.grads before you ask for need_dx"),
    # adding up, and what belongs to others
    (Assigns(), IMAGES, r"gradients add up: .* the gradient of w. Write self.grads\[...\] \+= , not ="),
    (Chain(Linear(3, 3), Assigns()), IMAGES, "gradients add up: .* the gradient of links.1.w"),
    (AssignsWithoutDx(), IMAGES, r"gradients add up: a second backward\(dy, need_dx=False\) does not double"),
    (WritesX(), IMAGES, f"nobody writes into x or dy: forward changed x. {UNTOUCHED}"),
    (WritesXInInference(), IMAGES, rf"nobody writes into x or dy: layer\(x\) changed x. {UNTOUCHED}"),
    (WritesXInBackward(), IMAGES, f"nobody writes into x or dy: backward changed x. {UNTOUCHED}"),
    (WritesDy(), IMAGES, f"nobody writes into x or dy: backward changed dy. {UNTOUCHED}"),
    (WritesDyWithoutDx(), IMAGES, f"nobody writes into x or dy: backward changed dy. {UNTOUCHED}"),
    (MasksWeights(), IMAGES, f"{STAY} w. The optimizer moves params"),
    (MovesState(), IMAGES, f"{STAY} mean. The optimizer moves params, update moves state by sums"),
    (SumsInInference(), IMAGES, r"inference keeps nothing: layer\(x\) changed sums\[total\]"),
    # the tree
    (HidesInDict(), IMAGES, f"the tree is complete: attribute parts hides a Scale, .*{IN_A_LIST}"),
    (HidesInNestedList(), IMAGES, f"the tree is complete: attribute parts hides a Scale, .*{IN_A_LIST}"),
    (HidesInObject(), IMAGES, f"the tree is complete: attribute holder hides a Scale, .*{IN_A_LIST}"),
    (Chain(Scale(), HidesInObject()), IMAGES, "attribute links.1.holder hides a Scale"),
    *[(Hides(way), IMAGES, f"the tree is complete: attribute hidden hides a Scale, .*{IN_A_LIST}") for way in WAYS],
    (HidesInClass(), IMAGES, "attribute scale hides a Scale"),
    (StandsTwice(), IMAGES, "the tree is complete: one and other are one and the same layer. Give each place a"),
    (Chain(*[Scale()] * 2), IMAGES, "the tree is complete: links.0 and links.1 are one and the same layer"),
    (NoInit(), IMAGES, r"the tree is complete: NoInit.__init__ has made no params. Begin it with super\(\)._"),
    (NoGradient(), IMAGES, "every parameter has a gradient of its shape: parameter v of NoGradient.*has none. "
                           "Register it with add_param"),
    (OtherNames(), IMAGES, r"a layer's arrays have one place: attribute w of OtherNames is self.params"),
    (StateOfIntegers(), IMAGES, "states are floats: state seen of StateOfIntegers is int64. astype casts them"),
    (Chain(StateNamedLikeAParam()), IMAGES, "parameters and states have names of their own: w of links.0 is both"),
    # caches and replicas
    (KeepsUpdateToItself(Scale()), IMAGES, r"update reaches every layer: that of links.0 isn't called. Call"),
    (UpdateFails(), IMAGES, "update runs: KeyError: 'n' .*Write update"),
    (CacheOfTheClass(), IMAGES, "threads don't share caches: .* gradient of w. Keep what backward needs in self.cache"),
    (CacheInList(), IMAGES, "threads don't share caches: .* gradient of w. Keep what backward needs in self.cache"),
    (LeavesCache(), IMAGES, r"a backward uses up the cache of one forward: .*Begin backward with self.take_cache\(\)"),
    (Chain(LeavesCache(), Scale()), IMAGES, "a backward uses up the cache of one forward: links.0 still has one"),
    (TanhLeavesCache(), IMAGES, "a backward uses up the cache of one forward: TanhLeavesCache still has one"),
    (TanhInList(), IMAGES, "threads don't share caches: a forward of a replica changes the gradient of input 0"),
    (SharesSums(), IMAGES, "a replica has gradients and sums of its own: those of SharesSums are shared"),
    (CopiesParams(), IMAGES, "a replica shares parameters and states: those of CopiesParams are copies"),
    (SharesGrads(), IMAGES, "a replica has gradients .*of its own: those of SharesGrads are shared"),
    (SharesChild(Scale()), IMAGES, "a replica has gradients .*of its own: those of links.0 are shared"),
    # one formula, one number type, one image at a time
    (KeepsInInference(), IMAGES, r"inference keeps nothing: after layer\(x\) there is a cache in it. Set self.ca"),
    (Chain(Scale(), KeepsInInference()), IMAGES, r"inference keeps nothing: .* a cache in links.1"),
    (OtherShape(), IMAGES, r"one formula: they differ in shape: \(2, 4, 5, 2\), \(2, 4, 5, 3\)"),
    (OtherForward(), IMAGES, r"layer\(x\) and forward\(x\) are one formula: they differ by .* Let forward call"),
    (Float64(), IMAGES, FLOATS),
    (Chain(Scale(), Float64(), Scale()), IMAGES, FLOATS),
    (Float64InInference(), IMAGES, r"float32 parameters compute in float32: layer\(x\) is float64"),
    (Float64InBackward(), IMAGES, "float32 parameters compute in float32: dx of backward is float64"),
    (Chain(MixesImages(), Conv2d(3, 2, 3, 1, 1)), IMAGES, "images of a batch don't mix"),
    (MixesImages(), IMAGES, "images of a batch don't mix: .* Sum over channels or pixels, never over the first axis"),
], ids=layer_name)
def test_a_broken_rule_is_named(layer, x, message):
    name = type(layer).__name__
    with pytest.raises(ContractError, match=f"^{name} breaks the rule that .*{message}"):
        check_layer(layer, x)


@pytest.mark.parametrize("layer, message", [
    (WrongDx(), r"WrongDx: the gradient of x is wrong, relative error 5.\de-05 \(allowed 1e-06\); worst at x\["),
    (WrongInOnePlace(3, 4), r"gradient of w is wrong, .* worst at w\[1, 2\]: expected \S+ by .* got \S+ from backward"),
    (Chain(Scale(), WrongInOnePlace(3, 4)), r"Chain: the gradient of links.1.w is wrong, .* worst at links.1.w\[1, 2"),
    (ForgetsBias(3, 4), r"gradient of b is wrong, .* expected \S+ by finite differences, got 0 from backward"),
    (WrongShape(), r"the gradient of w has shape \(4, 5, 3\), but w has shape \(3,\)"),
    (TupleOfOne(), "TupleOfOne: backward returned 1 gradients, expected an array"),
    (WrongShapeOfDx(), r"the gradient of x has shape \(2, 4, 5\), but x has shape \(2, 4, 5, 3\)"),
    (SendsBack(3, 3, 3), "SendsBack: the gradient of x is wrong"),
    (Network(lambda: [masked(3, 6, "A", 3), SendsBack(6, 6, 3), masked(6, 9, "B", 3)], 3), "Network: .* is wrong"),
], ids=layer_name)
def test_a_wrong_gradient_is_named(layer, message):
    with pytest.raises(GradientError, match=message):
        check_layer(layer, COLORS if isinstance(layer, Network) else IMAGES)


@pytest.mark.parametrize("hide", [
    lambda layer: {"scale": layer}, lambda layer: [[layer]], lambda layer: (1, (layer,)), lambda layer: {layer},
    lambda layer: [Scale(), {"other": layer}]])
def test_a_container_that_hides_a_layer_is_refused_when_it_is_set(hide):
    layer = Layer()
    with pytest.raises(TypeError, match=r"Layer.parts: a (dict|list|tuple|set) hides the layers in it from the tree, "
                                        "so they would not be trained; expected a layer, or a flat list or tuple"):
        layer.parts = hide(Scale())
    layer.parts = [Scale(), "a text", None, (3, 4)]
    assert [name for name, _ in layer.children()] == ["parts.0"]


def test_a_layer_of_two_inputs_has_two_gradients():
    with pytest.raises(GradientError, match="backward returned 1 gradients, expected a tuple of 2, one for each input"):
        check_layer(OneGradientOfTwo(), (IMAGES, IMAGES))


def test_a_gradient_of_zero_is_right():
    check_layer(layers.LayerNorm(1), IMAGES[..., :1])
    check_layer(layers.LayerNorm(3, colors=3), IMAGES)
    for seed in range(6):  # differences round, and more so where L is large: here x and dy are alike
        check_layer(ShiftedSoftmax(), np.random.default_rng(seed).standard_normal((2, 8, 8, 3)), seed=seed)


@pytest.mark.parametrize("first", [
    lambda: Residual(Linear(3, 3)), lambda: Chain(Chain(ReLU())), lambda: Sum(Linear(3, 3), ReLU()),
    lambda: Conditional(0, 3), TwoWays, lambda: OwnChain(Linear(3, 3)),
    lambda: layers.GatedResNet(lambda inputs, outputs: Linear(inputs, outputs), 3)],
    ids=["Residual", "Chain", "Sum", "Conditional", "TwoWays", "OwnChain", "GatedResNet"])
def test_what_stays_at_its_pixel_hands_it_on_in_drawing(first):
    check_layer(Chain(first(), MaskedConv2d(3, 4, 3, "A")), IMAGES, causal=True)


def test_a_layer_that_remembers_pixels_does_not_stay_at_its_own():
    assert not stays_at_its_pixel(MaskedConv2d(6, 6, 3, "A", 3)) and not stays_at_its_pixel(Chain(Scale(), Above()))
    assert stays_at_its_pixel(Chain(TwoWays(), Chain())) and not stays_at_its_pixel(layers.RowRecurrence(2))


def test_a_network_may_be_checked_after_it_has_drawn():
    model = PixelCNN(3, channels=4, blocks=1, first_kernel=3, kernel_size=3, head=())
    sampling.sample(model, 1, (4, 5))
    check_layer(model, LEVELS, entries=3)


def test_a_layer_of_two_inputs_and_one_output_passes():
    check_layer(SumOfTwo(), (IMAGES, IMAGES[::-1]))


class Unnamed(LeakyReLU):
    sides = Layer.sides


def test_a_kink_is_named_with_its_layer():
    x = IMAGES.copy()
    x[0, 1, 2, 1] = 0
    with pytest.raises(GradientError, match="gradient of x is wrong.* does a number stand on a kink"):
        check_layer(Unnamed(), x)
    for layer, name in ((LeakyReLU(), "LeakyReLU"), (Chain(Unchanged(), LeakyReLU()), r"links.1 \(LeakyReLU\)")):
        with pytest.raises(ValueError, match=f"a number in {name} stands on its kink, .* check at another x"):
            check_layer(layer, x)
    x[0, 1, 2, 1] = 1e-6  # beside it the step is shortened
    check_layer(LeakyReLU(), x)


def test_what_a_model_is_told_of_reaches_its_drawing():
    class ForgetsCondition(PixelCNN):
        def start(self, batch, height, width, condition=None):
            super().start(batch, height, width)

    small = dict(channels=4, blocks=1, first_kernel=3, kernel_size=3, head=(), classes=2)
    case = gradcheck.Case("", PixelCNN(**small), (2, 4, 5, 1), 2, (2, 1, 1, 2))
    x, condition = case.inputs()
    check_layer(PixelCNN(**small), x, condition=condition, entries=5)
    check_layer(PixelCNN(**small), x, entries=5)  # it may go without
    with pytest.raises(ContractError, match=STEPS):
        check_layer(ForgetsCondition(**small), x, condition=condition, entries=5)


def test_what_can_t_be_checked_is_said():
    layer = Scale()
    layer.lock = threading.Lock()
    with pytest.raises(TypeError, match="Scale: check_layer works on a copy, but an attribute of it can't be copied"):
        check_layer(layer, IMAGES)
    with pytest.raises(TypeError, match="check_layer: expected a layer, an instance of tinyar.layer.Layer, got"):
        check_layer(Scale, IMAGES)


@pytest.mark.skipif(on_gpu, reason="the same by any array library")
def test_a_broken_layer_is_left_as_it_was():
    for layer in (Assigns(), WritesX(), NoNeedDx(), WrongStep()):
        x, before = IMAGES.copy(), copies(layer.arrays())
        with pytest.raises(ContractError):
            check_layer(layer, x)
        np.testing.assert_array_equal(x, IMAGES)
        assert layer.cache is None and copies(layer.arrays()).keys() == before.keys()
        for name, array in layer.arrays():
            np.testing.assert_array_equal(to_host(array), before[name])


def test_a_single_image_is_refused_since_it_cannot_show_that_images_mix():
    with pytest.raises(ValueError, match=r"expected a batch of at least 2, .* got shape \(1, 4, 5, 3\)"):
        check_layer(Scale(), IMAGES[:1])


class HandsOptionsOn(PixelCNN):
    def __init__(self, reach=3, **options):
        super().__init__(**options)


def test_a_models_options_may_be_handed_on_by_name_but_not_by_place():
    assert HandsOptionsOn(5, channels=4, blocks=0).config == {"reach": 5, "channels": 4, "blocks": 0}

    class WithoutNames(PixelCNN):
        def __init__(self, *options):
            super().__init__(*options)
    with pytest.raises(TypeError, match=r"WithoutNames.__init__: options need names"):
        WithoutNames(2)


@pytest.mark.parametrize("kind, message", [
    (TwiceTooSteep, "doutputs is the gradient of the loss: at outputs.* finite differences give"),
    (WithoutGradient, r"doutputs is the gradient of the loss: outputs have shapes .*, doutputs \[\]"),
    (GradientOfSome, r"doutputs is the gradient of the loss: outputs have shapes .* doutputs \[\(1, 4, 5, 1, 3\)\]"),
    (WithoutWeight, "loss takes a weight: with weight=0.5"), (OldSignature, "loss runs: TypeError.*weight"),
    (CostsTheMean, r"costs add up to the loss: they are \S+ a sub-pixel, loss less penalty\(\) is"),
    (CostsOfTheBatch, r"costs add up to the loss: image 0 costs \S+, and \S+ alone"),
    (OneCost, r"costs add up to the loss: costs have shape \(\), expected \(2,\)"),
    (CostsOfNaN, "costs add up to the loss: image 0 costs nan"), (CostsWithoutImages, "costs runs: TypeError"),
    (WithPenalty, "costs add up to the loss: they are"), (PenaltyFails, "penalty runs: KeyError"),
    (WrapsAround, "levels become numbers of .*: images of uint8 give other outputs than the same .* of float64"),
    (ComputesInFloat64, "levels become numbers of .*: a model of float32 gives outputs of float64")])
def test_what_a_model_does_with_images_is_checked_too(kind, message):
    images = np.random.default_rng(0).integers(0, 3, (2, 4, 5, 1))
    with pytest.raises(ContractError, match=f"{kind.__name__} breaks the rule that {message}"):
        check_layer(kind(3, channels=4, blocks=0, first_kernel=3), images)


def test_a_model_without_levels_is_told_what_it_lacks():
    with pytest.raises(ContractError, match="a model says what its images look like: it has no levels. Set"):
        check_layer(WithoutLevels(), np.random.default_rng(0).integers(0, 3, (2, 4, 5, 1)))


def test_the_name_of_a_method_is_refused_for_children():
    for name, value in (("layers", [Scale()]), ("update", Scale()), ("start", None)):
        with pytest.raises(TypeError, match=f"Layer.{name} is a method; choose another name for this attribute"):
            setattr(Layer(), name, value)
    with pytest.raises(TypeError, match="PixelCNN.costs is a method"):
        PixelCNN(channels=4, blocks=0).costs = 3


@pytest.mark.parametrize("model, message", [
    (TooCheap(3, channels=4, blocks=0, first_kernel=3), "probabilities add up to 1: over all images of one pixel"),
    (with_likelihood(OneTooDark), "levels are drawn as often as they are likely: of colour 0 the share of level"),
    (with_likelihood(ForgetsKeep), "known sub-pixels stay: draw changed some"),
    (with_likelihood(KeepsAllOrNothing, colors=2), "known sub-pixels stay: draw changed some"),
    (with_likelihood(LaterColorsAreDark, colors=2), "levels are drawn as often as they are likely: of colour 1 the"),
    (CostsOfFew(3, channels=4, blocks=0, first_kernel=3), "costs runs: ValueError: a mistake for more than two images"),
    (WritesIntoIntegers(3, channels=4, blocks=0, first_kernel=3), "levels become numbers of .* Begin with x.astype"),
    (with_likelihood(DrawFails), "draw runs: RuntimeError: not written yet")])
def test_a_model_is_a_distribution_and_draws_from_it(model, message):
    with pytest.raises(ContractError, match=message):
        check_layer(model, np.random.default_rng(0).integers(0, 3, (2, 4, 5, model.image_channels)))
