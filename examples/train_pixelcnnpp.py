"""Lesson: PixelCNN++: a mixture of logistics instead of a softmax, on three grids.

    python examples/train_pixelcnnpp.py --data digits  8x8 digits that come with tinyar: 1.74 bits/dim in 33 s
    without --data                                     MNIST in 256 levels (or digits, if it can't be had)
    ... --data digits --likelihood softmax             the same network with the softmax of the other lessons
    ... --data digits --classes                        conditioned on the class: a row of drawings for each digit
    ... --data cifar10                                 colour: the mixture has the order R, G, B in it
    ... --resume                                       go on with the latest run

The README says what such runs came to, in bits per dimension and minutes. A run writes to a new folder in runs/:
model.npz (the best weights), training.npz (to resume), history.csv, curve.png, samples.png, and drawing.gif with --gif.
What two such runs say of the levels of a pixel: `python examples/pixel_levels.py RUN RUN`.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import arguments
import drawing
from kinds import MOST_CHANNELS, ByData, share_below_1, up_to

from tinyar import models, training
from tinyar.optim import cosine

NAME = "pixelcnnpp"
DEFAULTS = dict(epochs=ByData(3, digits=11), batch_size=ByData(16, digits=16), lr=ByData(2e-3, digits=1e-2))


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--channels", type=up_to(MOST_CHANNELS), default=ByData(32, digits=20),
        help="features a pixel (32; 20 for digits)")
    add("--units", type=up_to(100), default=1, help="residual units a grid, on either side (1)")
    add("--likelihood", choices=("mixture", "softmax"), default="mixture", help="what a pixel's outputs mean (mixture)")
    add("--components", type=up_to(1000), default=5, help="logistics in the mixture (5)")
    add("--dropout", type=share_below_1, default=ByData(0.0, digits=0.05),
        help="share of a unit's features dropped in training (0; 0.05 for digits)")
    arguments.add_pixel_arguments(parser, colors=False)
    arguments.add_training_arguments(parser, NAME, **DEFAULTS)
    drawing.add_drawing_arguments(parser)
    return arguments.parse(parser, NAME)


def main():
    args = parse_arguments()
    dataset = arguments.load_data(args)
    common = dict(levels=dataset.levels, image_channels=dataset.image_shape[2], channels=args.channels,
                  classes=arguments.classes_told(args, dataset), seed=args.seed)
    model = models.PixelCNNpp(**common, units=args.units, likelihood=args.likelihood, components=args.components,
                              dropout=args.dropout)
    arguments.print_start(dataset, model)
    arguments.start_from(args, model)

    folder = arguments.folder_for(args, NAME)
    updates = args.epochs * -(-len(dataset.train) // args.batch_size)
    history = training.fit(model, dataset.train, dataset.validation, epochs=args.epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           patience=args.patience, hide_labels=args.hide_labels, threads=args.threads, seed=args.seed,
                           out=folder, resume=args.resume, progress=True, about=arguments.about_run(args, dataset))
    arguments.print_end(history, folder)

    arguments.print_test(training.evaluate(model, dataset.test, args.threads), dataset)
    if args.hide_labels:
        print(f"       {training.evaluate(model, dataset.test.images, args.threads):.4f} bits/dim when told no class")
    pictures = drawing.save_drawings(folder, model, dataset, args)
    print(f"wrote to {folder}: model.npz, training.npz, history.csv, curve.png, {', '.join(pictures)}")


if __name__ == "__main__":
    endings.run(main, stopped=arguments.GO_ON, ranks=True)
