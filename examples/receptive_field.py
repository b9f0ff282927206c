"""The blind spot: what does a pixel of a PixelCNN see?

    python examples/receptive_field.py
    python examples/receptive_field.py --kernel-size 5 --blocks 12
    python examples/receptive_field.py --checkpoint runs/pixelcnn/model.npz

Every pixel should be predicted from all earlier ones: the rows above, and what is to its left. A stack of masked k x k
convolutions doesn't do that. To look to the right it must go up first, and each row that it goes up takes it at most
m = (k - 1) / 2 columns to the right. So the pixel a rows above and b columns to the right is never seen if b > m a, however
deep the network. This wedge is the blind spot: 45 degrees wide for 3x3 kernels, 18 degrees for 7x7. (If the first layer has
another kernel, of half-width m1, the rule is b > m1 + m (a - 1).)

Two pictures are drawn: masks.png, the masks of type A and B with and without colours, and receptive_field.png, the gradient of one
output by all pixels of the image. It is exactly 0 where no path leads, so the picture is found by backward alone and only then
compared with the rule. Untrained networks see the same pixels as trained ones, just not with the same interest.

Takes 3 seconds on two CPU cores.
"""

import argparse
import pathlib

import numpy as np

from tinyar import backend, checkpoint, plotting
from tinyar.layers import MaskedConv2d
from tinyar.models import PixelCNN


def main():
    parser = argparse.ArgumentParser(description="Draw the masks and the receptive field of a PixelCNN, and count what it sees.")
    parser.add_argument("--checkpoint", help="a trained model to look at (a model.npz); otherwise new networks")
    parser.add_argument("--kernel-size", type=int, nargs="+", default=[3, 7], metavar="K", help="of the new networks (3 7)")
    parser.add_argument("--blocks", type=int, default=8, help="how many masked convolutions follow the first one (8)")
    parser.add_argument("--size", type=int, default=28, help="height and width of the image (28)")
    parser.add_argument("--out", default="runs/receptive_field", help="folder of the pictures (%(default)s)")
    args = parser.parse_args()
    check(parser, args)
    print(f"computing with {backend.name}")
    try:
        models = load(args) if args.checkpoint else build(args)
        masks(pathlib.Path(args.out) / "masks.png")
        look(models, args.size, pathlib.Path(args.out) / "receptive_field.png")
    except (OSError, ValueError) as error:
        parser.error(str(error))


def check(parser, args):
    """Stop with a usage error where an argument makes no sense."""
    for k in args.kernel_size:
        if k % 2 == 0 or not 1 <= k <= 15:
            parser.error(f"--kernel-size: expected odd numbers from 1 to 15, got {k}")
    if not 0 <= args.blocks <= 100:
        parser.error(f"--blocks: expected a number from 0 to 100, got {args.blocks}")
    if not 2 <= args.size <= 128:
        parser.error(f"--size: expected a number from 2 to 128, got {args.size}")


def build(args):
    """{title: new PixelCNN}, with the same kernel in all layers."""
    return {f"{k} x {k} kernels, {args.blocks} blocks": PixelCNN(channels=32, blocks=args.blocks, first_kernel=k, kernel_size=k)
            for k in args.kernel_size}


def load(args):
    """{title: the trained model}"""
    model, _ = checkpoint.load(args.checkpoint)
    return {f"{type(model).__name__} of {pathlib.Path(args.checkpoint).name}": model}


def masks(path):
    """Draw the masks of 7x7 layers, of grey images and of images with three colours."""
    plotting.save_masks(path, {"mask A, the first layer": MaskedConv2d(1, 1, 7, "A"),
                               "mask B, all later ones": MaskedConv2d(1, 1, 7, "B"),
                               "mask A, colours R, G, B": MaskedConv2d(3, 3, 7, "A", colors=3),
                               "mask B, colours R, G, B": MaskedConv2d(3, 3, 7, "B", colors=3)})
    print(f"wrote {path}: 7x7 kernels, 1 where a tap lives")


def look(models, size, path):
    """Draw what each model sees from one pixel, and say how many of the earlier pixels that is."""
    at = (size * 3 // 4, size * 2 // 5)
    earlier = plotting.earlier_pixels(size, size, at)
    fields = {title: plotting.receptive_field(model, size, size, at) for title, model in models.items()}
    # Other models than PixelCNN have other blind spots, or none.
    blind = {title: blind_spot(model, size, at) for title, model in models.items() if isinstance(model, PixelCNN)}
    for title, model in models.items():
        seen = fields[title] > 0
        print(f"{title}: the output at row {at[0]}, column {at[1]} has {earlier.sum()} pixels before it")
        print(f"    sees {share(seen, earlier)}; averaged over all outputs {100 * average_share(model, size):.1f} %")
        if title in blind:
            print(f"    blind for the rest: {share(blind[title], earlier)} at any depth, because b > {rule(model)}, "
                  f"and {share(~seen & ~blind[title], earlier)} at this depth")
            agree = not (seen & (blind[title] | ~earlier)).any()
            print("    backward agrees with the rule: exactly 0 there, and at all later pixels" if agree else
                  "    BACKWARD DISAGREES WITH THE RULE: it sees what it must not")
    plotting.save_receptive_field(path, fields, at, blind or None)
    print(f"wrote {path}: how strongly each pixel is seen")


def blind_spot(model, size, at):
    """Which pixels of a size x size image no depth reaches, by the rule: bool (size, size)."""
    rows, cols = np.indices((size, size))
    above, right = at[0] - rows, cols - at[1]
    first, later = half_widths(model)
    return (above > 0) & (right > first + later * (above - 1))


def half_widths(model):
    """m1 of the first layer and m of the later ones."""
    return model.config["first_kernel"] // 2, model.config["kernel_size"] // 2


def rule(model):
    """The largest b that is seen a rows above, in words."""
    first, later = half_widths(model)
    return f"{later} a" if first == later else f"{first} + {later} (a - 1)"


def share(chosen, earlier):
    """How many of the earlier pixels are chosen, as number and percent."""
    count = (chosen & earlier).sum()
    return f"{count} ({100 * count / earlier.sum():.1f} %)"


def average_share(model, size):
    """The share of earlier pixels that is seen, over all outputs of a size x size image.

    All outputs see the same offsets, as far as these lie in the image. So look once from the bottom of a wide image, where all
    offsets (a rows up, b columns to either side) fit, and count each as often as it fits into the real one.
    """
    at = (size - 1, size - 1)
    seen = plotting.receptive_field(model, size, 2 * size - 1, at) > 0
    earlier = plotting.earlier_pixels(size, 2 * size - 1, at)
    rows, cols = np.indices(seen.shape)
    outputs = (1 + rows) * (size - abs(cols - at[1]))  # the offset a = size - 1 - row fits size - a times, ...
    return (outputs * (seen & earlier)).sum() / (outputs * earlier).sum()


if __name__ == "__main__":
    main()
