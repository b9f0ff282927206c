"""tinyar's own functions as solutions of the exercises, in short wrappers; and the exercises themselves, loaded."""

import functools
import importlib.util
import inspect
import pathlib
import sys
import types

import numpy as np

from tinyar import losses, sampling
from tinyar.gradcheck.call import Call
from tinyar.gradcheck.drawing import check_causality
from tinyar.gradcheck.errors import ContractError
from tinyar.layers import attention, colors, conv, masked, norm, quantizer, recurrent, strided
from tinyar.likelihoods import Categorical, mixture

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "examples" / "exercises"
sys.path.insert(0, str(FOLDER))  # where judge.py is
FILES = {path.name[:2]: path for path in sorted(FOLDER.glob("[0-9]*.py"))}


@functools.cache
def exercise(number):
    """The module of an exercise."""
    spec = importlib.util.spec_from_file_location(f"exercise_{number}", FILES[number])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def altered(module, *edits):
    """A twin of a module of tinyar whose source has each old text replaced by a new one: (old, new), ..."""
    source = inspect.getsource(module)
    for old, new in edits:
        assert old in source, old
        source = source.replace(old, new)
    twin = types.ModuleType(module.__name__)
    exec(compile(source, module.__file__, "exec"), twin.__dict__)
    return twin


def solution(number, *edits):
    """{name: function} of an exercise, by tinyar; with edits, by an altered twin of the file that it comes from."""
    module, functions = SOLUTIONS[number]
    return functions(altered(module, *edits) if edits else module)


def softmax(module):
    return {"softmax_cross_entropy": module.softmax_cross_entropy}


def bits(module):
    def by(logits, images):
        logits = np.broadcast_to(logits, (*images.shape, logits.shape[-1]))
        return module.bits_per_dim(module.nats(logits, images).mean())

    def counts(images, levels):
        return np.stack([(images == level).sum(axis=0) for level in range(levels)], axis=-1)

    return {"bits_per_dim": lambda log_p, shape: module.bits_per_dim(-log_p.mean() / np.prod(shape)),
            "frequencies": lambda train, test, levels: by(np.log(counts(train, levels).sum(axis=(0, 1)) + 1), test),
            "frequencies_by_place": lambda train, test, levels: by(np.log(counts(train, levels) + 1), test)}


def masks(module):
    def mask(kernel_size, mask_type):
        return (module.MaskedConv2d(1, 1, kernel_size, mask_type).dense_kernel()[..., 0, 0] != 0) * 1.

    def centre_mask(in_channels, out_channels, mask_type):
        return (colors.ColorLinear(in_channels, out_channels, 3, mask_type).dense_matrix() != 0) * 1.

    return {"mask": mask, "centre_mask": centre_mask}


def convolutions(module):
    def layer(w, b=0):
        made = module.Conv2d(*w.shape[2:], len(w), 1, len(w) // 2).astype(w.dtype)
        made.params["w"][...], made.params["b"][...] = w, b
        return made

    def backward(x, w, dy):
        made = layer(w)
        made.forward(x)
        return made.backward(dy), made.grads["w"], made.grads["b"]

    return {"convolution": lambda x, w, b: layer(w, b)(x), "convolution_backward": backward}


def layer_norm(module):
    def layer(x, gamma, beta, eps):
        made = module.LayerNorm(x.shape[-1], eps=eps).astype(x.dtype)
        made.params["gamma"][...], made.params["beta"][...] = gamma, beta
        return made, made.forward(x)

    def backward(dy, x, gamma, eps):
        made, _ = layer(x, gamma, 0, eps)
        return made.backward(dy), made.grads["gamma"], made.grads["beta"]

    return {"layer_norm": lambda *arguments: layer(*arguments)[1], "layer_norm_backward": backward}


def leaks(module):
    def influence(layer, x, at):
        changed = np.zeros(x.shape[1:3], dtype=bool)
        for place in np.ndindex(changed.shape):  # by the gradient of the output there
            dy = np.zeros_like(layer.forward(x))
            dy[0, place[0], place[1]] = np.arange(1, dy.shape[3] + 1)
            changed[place] = layer.backward(dy)[0, at[0], at[1]].any()
        return changed

    def find_leak(layers, x):
        for number, layer in enumerate(layers):
            try:
                if check_causality(Call(layer, x.copy(), None), own_pixel=True) and number == 0:
                    return 0
            except ContractError:
                return number
            x = layer(x)
        return -1

    return {"influence": influence, "find_leak": find_leak}


def draws(module):
    def sample(network, uniforms):
        images = np.zeros((*uniforms.shape, 1), int)
        for at in np.ndindex(uniforms.shape[1:]):
            z = network(images)[:, at[0], at[1]]
            images[:, at[0], at[1], 0] = Categorical(z.shape[-1]).sample(z, uniforms[:, at[0], at[1]])
        return images

    def convolution_step(memory, x, w, b, at):
        m = len(w) // 2
        layer = strided.Conv2d(*w.shape[2:], len(w), 1, 0).astype(w.dtype)
        layer.params["w"][...], layer.params["b"][...] = w, b
        memory[:, m + at[0], m + at[1]] = x
        return layer(memory[:, at[0]:at[0] + len(w), at[1]:at[1] + len(w)])[:, 0, 0]

    def sample_cached(model, uniforms):
        images = np.zeros((*uniforms.shape, 1), int)
        model.start(*uniforms.shape)
        for at in np.ndindex(uniforms.shape[1:]):
            z, pixel = model.step(at), images[:, at[0], at[1]]
            keep, now = np.zeros(pixel.shape, bool), uniforms[:, at[0], at[1], None]
            Categorical(z.shape[-1]).draw(z[:, None], pixel, keep, now)
            model.see(pixel[:, 0], at)
        return images

    return {"sample": sample, "convolution_step": convolution_step, "sample_cached": sample_cached}


def quantizers(module):
    def layer(codebook, beta):
        made = module.VectorQuantizer(*codebook.shape, beta).astype(codebook.dtype)
        made.params["codebook"][...] = codebook
        return made

    def quantize(z, codebook, beta):
        made = layer(codebook, beta)
        return made.indices(z), made.forward(z), made.loss

    def backward(dy, z, codebook, k, beta):
        made = layer(codebook, beta)
        made.forward(z)
        return made.backward(dy), made.grads["codebook"]

    return {"quantize": quantize, "quantize_backward": backward}


def running_means(module):
    def move_codebook(counts, means, z, k, gamma, eps):
        made = module.VectorQuantizer(*means.shape, learning="ema", decay=gamma, eps=eps).astype(z.dtype)
        made.state["counts"][...], made.state["means"][...] = counts, means
        made.indices = lambda z: k
        made.forward(z)
        made.update()
        return tuple(made.state[name] for name in ("counts", "means", "codebook"))

    return {"move_codebook": move_codebook}


def lstm(module):
    def cell_backward(gates, c_prev, c, dh, dc):
        dz, dc = np.empty_like(gates), dc.copy()
        module.cell_backward(gates, c_prev, c, dh, dc, dz)
        return dz, dc

    return {"cell_backward": cell_backward}


def mixtures(module):
    def mixture_loss(logits, means, log_scales, k, levels):
        outputs = np.concatenate([logits, means, log_scales], axis=1)
        loss, doutputs = module.LogisticMixture(levels, 1, logits.shape[1]).loss(outputs, k[:, None])
        return loss, *np.split(doutputs, 3, axis=1)

    return {"mixture_loss": mixture_loss}


def attentions(module):
    def attention(q, k, v):
        return module.CausalAttention(q.shape[2], v.shape[2])(q[:, None], k[:, None], v[:, None])[:, 0]

    def backward(do, q, k, v):
        layer = module.CausalAttention(q.shape[2], v.shape[2])
        layer.forward(q[:, None], k[:, None], v[:, None])
        return tuple(gradient[:, 0] for gradient in layer.backward(do[:, None]))

    return {"attention": attention, "attention_backward": backward}


SOLUTIONS = {
    "01": (losses, softmax), "02": (losses, bits), "03": (masked, masks), "04": (strided, convolutions),
    "05": (strided, convolutions), "06": (norm, layer_norm), "07": (conv, leaks), "08": (sampling, draws),
    "09": (quantizer, quantizers), "10": (quantizer, running_means), "11": (recurrent, lstm),
    "12": (mixture, mixtures), "13": (attention, attentions)}
