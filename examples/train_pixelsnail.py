"""Lesson: PixelSNAIL: attention, by which each pixel looks at any earlier one.

    python examples/train_pixelsnail.py --data digits  8x8 digits that come with tinyar: 1.80 bits/dim in 30 s
    without --data                                     MNIST in 256 levels (or digits, if it can't be had)
    ... --data mnist --levels 2 --likelihood softmax   black and white
    ... --data digits --classes                        conditioned on the class: a row of drawings for each digit
    ... --resume                                       go on with the latest run

The README says what such runs came to, in bits per dimension and minutes. A run writes to a new folder in runs/:
model.npz (the best weights), training.npz (to resume), history.csv, curve.png, samples.png, and drawing.gif with --gif.
Where the pixels of such a run look: `python examples/attention.py RUN`.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import arguments
import drawing
from kinds import MOST_CHANNELS, ByData, share_below_1, up_to

from tinyar import models, training
from tinyar.optim import cosine

NAME = "pixelsnail"
DEFAULTS = dict(epochs=ByData(3, digits=16), batch_size=ByData(16, digits=16), lr=ByData(2e-3, digits=1e-2))


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--channels", type=up_to(MOST_CHANNELS), default=ByData(64, digits=32),
        help="features a pixel (64; 32 for digits)")
    add("--blocks", type=up_to(100), default=ByData(3, digits=2), help="each with attention (3; 2 for digits)")
    add("--units", type=up_to(100), default=2, help="residual units a block (2)")
    add("--heads", type=int, choices=(1, 2, 4, 8, 16), default=1, help="of attention (1)")
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
    model = models.PixelSNAIL(**common, blocks=args.blocks, units=args.units, heads=args.heads,
                              likelihood=args.likelihood, components=args.components, dropout=args.dropout)
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
