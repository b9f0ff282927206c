"""Lesson: a map as condition. From a small image to large ones: p(large image | small image), pixel by pixel.

    python examples/super_resolution.py --data digits    8x8 digits from 4x4: 1.28 bits/dim in 26 s
    ... --data mnist --levels 2 --channels 32            28x28 digits from 7x7
    ... --resume                                         go on with the latest run

The small image s holds the mean of every factor x factor block of the large one, x. A Gated PixelCNN is told of s at
every pixel, in every gated block (splits.maps_of). This needs no mask, as s is known before anything is drawn.

An x has just one s, so p(x) = p(s) p(x | s). What the test images cost here is what s leaves open: less than they cost
a network that is told nothing. Many x belong to one s, and the draws show some of them. That they shrink to s again
isn't built in, it is learned. The line "draws:" says how nearly they do.

A run writes to a new folder in runs/: model.npz (the best weights), training.npz (to resume), history.csv, curve.png,
and samples.png: in each row a test image, what was shown of it, and draws.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import arguments
import drawing
import numpy as np
import splits
from kinds import MOST_CHANNELS, MOST_DRAWN, ByData, temperature, up_to, whole

from tinyar import models, sampling, training
from tinyar.optim import cosine

NAME = "super-resolution"
DEFAULTS = dict(epochs=ByData(2, digits=7), batch_size=ByData(32, digits=16), lr=ByData(2e-3, digits=3e-3))


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--factor", type=whole, default=ByData(4, digits=2), help="block of the large image (4; 2 for digits)")
    add("--channels", type=up_to(MOST_CHANNELS), default=64, help="features a pixel (64)")
    add("--samples", type=up_to(MOST_DRAWN), default=8, help="test images to draw from at the end (8)")
    add("--draws", type=up_to(MOST_DRAWN), default=8, help="draws from each (8)")
    add("--temperature", type=temperature, default=1.0,
        help="divides the logits in drawing: below 1 come likelier, less varied images (1)")
    arguments.add_training_arguments(parser, NAME, **DEFAULTS)
    args = arguments.parse(parser, NAME)
    if args.samples * args.draws > MOST_DRAWN:
        parser.error(f"--samples times --draws: expected at most {MOST_DRAWN:,}, got {args.samples * args.draws:,}")
    if args.factor == 1:
        parser.error("--factor: with 1 the small image would be the large one; expected at least 2")
    return args


def main():
    args = parse_arguments()
    dataset = splits.with_maps(arguments.load_data(args), args.factor)
    model = models.GatedPixelCNN.published(
        "tutorial", levels=dataset.levels, image_channels=dataset.image_shape[2], channels=args.channels,
        map_channels=dataset.test.maps.shape[3], seed=args.seed)
    arguments.print_start(dataset, model)

    folder = arguments.folder_for(args, NAME)
    updates = args.epochs * -(-len(dataset.train) // args.batch_size)
    history = training.fit(model, dataset.train, dataset.validation, epochs=args.epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           threads=args.threads, seed=args.seed, out=folder, resume=args.resume, progress=True,
                           about=arguments.about_run(args, dataset))
    arguments.print_end(history, folder)

    bits = training.evaluate(model, dataset.test, args.threads)
    arguments.print_test(bits, dataset, given=" given the small image,")
    save_draws(folder, model, dataset, args)
    print(f"wrote to {folder}: model.npz, training.npz, history.csv, curve.png, samples.png")


@drawing.by_first
def save_draws(folder, model, dataset, args):
    """Draw from small test images, and say how well the draws keep to them: samples.png."""
    test = splits.some_of(dataset.test, args.samples)
    shown, maps = test.images, test.maps
    drawn = sampling.sample(model, len(shown) * args.draws, dataset.image_shape, temperature=args.temperature,
                            seed=args.seed, progress=True, maps=maps.repeat(args.draws, axis=0))
    small = splits.shrink(shown, args.factor)
    distance = abs(splits.shrink(drawn, args.factor) - small.repeat(args.draws, axis=0)).mean()
    others = splits.shrink(dataset.train.images[np.arange(len(shown)) % len(dataset.train)], args.factor)
    print(f"draws: shrunk again they are {distance:.2f} levels off what was shown, on average; "
          f"those of other images would be {abs(others - small).mean():.2f}")
    drawing.save_rows(folder, shown, splits.enlarge(small, args.factor), drawn, dataset.levels)


if __name__ == "__main__":
    endings.run(main, stopped=arguments.GO_ON, ranks=True)
