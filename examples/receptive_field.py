"""Lesson: what does a PixelCNN see? The masks, the blind spot that they leave, and what its relatives see.

    python examples/receptive_field.py                             new 3x3 and 7x7 networks,
                                                                   and a gated one, side by side
    python examples/receptive_field.py --kernel-size 3 --blocks 28               deep enough to reach the corners
    python examples/receptive_field.py --family                    all kinds of networks, six of them
    python examples/receptive_field.py --checkpoint runs/pixelcnn-mnist/model.npz    a trained one

Every pixel should be predicted from all earlier ones: the rows above, and what is to its left. A stack of masked k x k
convolutions can't do that. To look to the right it must go up first, and each row that it goes up takes it at most
m = (k - 1) / 2 columns to the right. So the pixel a rows above and b columns to the right is never seen if b > m a,
however deep the network: the blind spot. With 3x3 kernels it is a wedge of 45 degrees, with 7x7 of 18. (If the first
layer alone has another half-width m1, the rule is b > m a + m1 - m.)

Gated PixelCNN has a stream of features for the rows above, which looks left and right alike, and one for the own row:
with enough depth it sees every earlier pixel. Recurrent networks see without end from their first layer on: the Row
LSTM all rows above, but with the blind spot of PixelCNN; the Diagonal BiLSTM every earlier pixel but the last one of
the row above. PixelCNN++ sees far where its coarse grids have something to say, less far elsewhere. With attention, in
PixelSNAIL, a single block sees every earlier pixel.

What is seen is found without this rule: it is the gradient of one output by all pixels, as backward computes it, which
is exactly 0 where no path leads. Untrained networks see the same pixels as trained ones, just with other weights.

Takes 3 seconds on two CPU cores. Writes masks.png and receptive_field.png, or family.png, to runs/receptive_field/.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import pathlib

import numpy as np
from arguments import ArgumentParser
from kinds import path, up_to
from weights import weights_file

from tinyar import backend, layers, models
from tinyar.pictures import receptive_fields
from tinyar.training import checkpoint


def parse_arguments():
    parser = ArgumentParser(__doc__)
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--checkpoint", type=path,
                        help="weights to look at, instead of new networks: a model.npz, a run, or pretrained/NAME")
    others.add_argument("--family", action="store_true",
                        help="a new network of each kind, with the first kernel size: family.png")
    parser.add_argument("--kernel-size", type=up_to(15, least=3), nargs="+", default=[3, 7], metavar="K",
                        help="of the new networks, one or more (3 7)")
    parser.add_argument("--blocks", type=up_to(100, least=0), default=8,
                        help="masked convolutions after the first one (8)")
    parser.add_argument("--size", type=up_to(128, least=2), default=28, help="height and width of the image (28)")
    parser.add_argument("--out", type=path, default="runs/receptive_field",
                        help="folder to write to (runs/receptive_field)")
    args = parser.parse_args()
    if not all(k % 2 for k in args.kernel_size):
        parser.error(f"--kernel-size: expected odd numbers from 3 to 15, got {args.kernel_size}")
    return args


def main():
    args = parse_arguments()
    networks = load_network(args) if args.checkpoint else new_family(args) if args.family else new_networks(args)
    print(f"{len(networks)} network{'s' * (len(networks) > 1)}, computed by {backend.name}")
    size, at = args.size, (args.size * 3 // 4, args.size * 2 // 5)
    fields = {title: receptive_fields.receptive_field(network, size, size, at) for title, network in networks.items()}
    blind = {title: blind_spot(network, size, at) for title, network in networks.items() if type(network) in WHY_BLIND}
    for title, network in networks.items():
        tell(title, network, fields[title], blind.get(title), at)

    folder = pathlib.Path(args.out)
    picture = folder / ("family.png" if args.family else "receptive_field.png")
    receptive_fields.save_receptive_field(picture, fields, at, blind)
    receptive_fields.save_masks(folder / "masks.png", {"mask A, the first layer": layers.MaskedConv2d(1, 1, 7, "A"),
                                               "mask B, all later ones": layers.MaskedConv2d(1, 1, 7, "B"),
                                               "mask A, colours R, G, B": layers.MaskedConv2d(3, 3, 7, "A", colors=3),
                                               "mask B, colours R, G, B": layers.MaskedConv2d(3, 3, 7, "B", colors=3)})
    print(f"wrote: {folder / 'masks.png'}, {picture}")


def load_network(args):
    """{title: the trained model}"""
    model, _ = checkpoint.load(weights_file(args.checkpoint))
    if not hasattr(model, "color_passes") or model.one_hot:
        raise ValueError(f"{args.checkpoint}: expected a model that draws images pixel by pixel, "
                         f"got a {type(model).__name__}{' of codes' if hasattr(model, 'one_hot') else ''}")
    return {f"{type(model).__name__}, trained": model}


def new_networks(args):
    """{title: network}: for each size a PixelCNN with the same kernel in all its layers,
    and a Gated PixelCNN of the first size.
    """
    networks = {f"{k}x{k} kernels, {args.blocks} blocks":
                models.PixelCNN(channels=32, blocks=args.blocks, first_kernel=k, kernel_size=k)
                for k in args.kernel_size}
    k = args.kernel_size[0]
    networks[f"gated, {k}x{k}, {args.blocks} blocks"] = models.GatedPixelCNN(
        channels=16, first_kernel=k, kernel_size=k, dilations=(1,) * args.blocks)
    return networks


def new_family(args):
    """{title: network}: one of each kind, all with the first of the kernel sizes."""
    k = args.kernel_size[0]
    lstm = dict(hidden=8, layers=2, first_kernel=k)
    return {
        f"PixelCNN, {args.blocks} blocks": models.PixelCNN(
            channels=16, blocks=args.blocks, first_kernel=k, kernel_size=k),
        f"Gated PixelCNN, {args.blocks} blocks": models.GatedPixelCNN(
            channels=16, first_kernel=k, kernel_size=k, dilations=(1,) * args.blocks),
        "Row LSTM, 2 layers": models.RowLSTM(kernel_size=k, **lstm),
        "Diagonal BiLSTM, 2 layers": models.DiagonalBiLSTM(**lstm),
        "PixelCNN++, 1 unit a grid": models.PixelCNNpp(channels=8),
        "PixelSNAIL, 1 block": models.PixelSNAIL(channels=8, blocks=1, key_channels=4, value_channels=4)}


def tell(title, network, field, blind, at):
    """Print how many of the earlier pixels the output at `at` sees, and why it doesn't see the others."""
    size, seen = len(field), field > 0
    earlier = receptive_fields.earlier_pixels(size, size, at)
    print(f"{title}: {earlier.sum()} pixels come before row {at[0]}, column {at[1]}. Of these the output there")
    average = ""
    if not isinstance(network, (models.DiagonalBiLSTM, models.PixelCNNpp)):
        average = f"; averaged over all outputs {100 * average_share(network, size):.1f} %"
    print(f"    sees               {share(seen, earlier)}{average}")
    if blind is not None:
        forbidden = ~earlier | blind
        forbidden[at] = len(network.color_passes) == 1  # colours drawn one by one do see earlier ones of the same pixel
        print(f"    is blind for       {share(blind, earlier)}, {WHY_BLIND[type(network)](network)}")
        print(f"    could see, deeper  {share(~seen & ~blind, earlier)}")
        print(f"    and of all the pixels in the blind spot or later it sees {(seen & forbidden).sum()}")


def share(chosen, earlier):
    """How many of the earlier pixels are chosen, as number and percent."""
    count = (chosen & earlier).sum()
    return f"{count:4d} ({100 * count / earlier.sum():.1f} %)"


def average_share(network, size):
    """Which share of the earlier pixels is seen, over all outputs of a size x size image.

    All outputs see the same offsets, as far as these lie within the image. So look once, from the bottom of an image so
    wide that all offsets fit, and count the offset (a rows up, b columns to a side) as often as it fits into the real
    image. (Not for the Diagonal BiLSTM: what it misses is where the image ends. Nor for PixelCNN++: what it sees
    depends on whether row and column are even.)
    """
    at = (size - 1, size - 1)
    seen = receptive_fields.receptive_field(network, size, 2 * size - 1, at) > 0
    earlier = receptive_fields.earlier_pixels(size, 2 * size - 1, at)
    rows, cols = np.indices(seen.shape)
    times = (1 + rows) * (size - abs(cols - at[1]))  # (size - a) (size - |b|)
    return (times * (seen & earlier)).sum() / (times * earlier).sum()


def half_widths(network):
    """m1 of the first layer, m of the later ones."""
    return network.config["first_kernel"] // 2, network.config["kernel_size"] // 2


def blind_spot(network, size, at):
    """Which pixels of a size x size image no depth reaches, by the rule: bool (size, size)."""
    rows, cols = np.indices((size, size))
    above, right = at[0] - rows, cols - at[1]
    if isinstance(network, (models.PixelCNN, models.RowLSTM)):
        first, later = half_widths(network)
        return (above > 0) & (right > later * above + first - later)
    if isinstance(network, models.DiagonalBiLSTM):
        return (above == 1) & (cols == size - 1) & (right > network.config["first_kernel"] // 2)
    return np.zeros((size, size), dtype=bool)


def rule(network):
    """The farthest column to the right that a PixelCNN or a Row LSTM sees a rows above, as a formula."""
    first, later = half_widths(network)
    slope = f"{later} a" if later > 1 else "a"
    return slope if first == later else f"{slope} {'+' if first > later else '-'} {abs(first - later)}"


BLIND = "a pixel a rows above and b columns to the right is out of sight if b > {}"
WHY_BLIND = {
    models.PixelCNN: lambda network: BLIND.format(rule(network)),
    models.RowLSTM: lambda network: BLIND.format(rule(network)),
    models.DiagonalBiLSTM: lambda network: "the last pixel of the row above, unless it is near",
    models.GatedPixelCNN: lambda network: "it has no blind spot",
    models.PixelCNNpp: lambda network: "it has no blind spot",
    models.PixelSNAIL: lambda network: "it has no blind spot",
    models.PixelRNN: lambda network: "it has no blind spot",
}


if __name__ == "__main__":
    endings.run(main, stopped="every file that is there is whole")
