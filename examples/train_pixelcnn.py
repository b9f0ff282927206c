"""Lesson: train a PixelCNN, read its bits per dimension, and look at what it draws.

    python examples/train_pixelcnn.py --data digits    8x8 digits that come with tinyar: 1.81 bits/dim in 21 s
    without --data                                     MNIST in 256 levels (or digits, if it can't be had)
    ... --data mnist --levels 2                        MNIST in black and white, threshold 128
    ... --data digits --classes                        conditioned on the class: a row of drawings for each digit
    ... --data cifar10 --levels 8                      colour, R before G before B
    ... --resume                                       go on with the latest run

The README says what such runs came to, in bits per dimension and minutes. A run writes to a new folder in runs/:
model.npz (the best weights), training.npz (to resume), history.csv, curve.png, samples.png, and drawing.gif with --gif.
A PixelCNN shows its masks as well, in masks.png.
From the first lesson to the second: `diff examples/train_pixelcnn.py examples/train_gated.py`.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import arguments
import drawing
from kinds import MOST_CHANNELS, ByData, odd, share_below_1, up_to

from tinyar import models, training
from tinyar.optim import cosine

NAME = "pixelcnn"
DEFAULTS = dict(epochs=ByData(5, digits=12), batch_size=ByData(128, digits=16), lr=ByData(2e-3, digits=3e-3))


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--channels", type=up_to(MOST_CHANNELS), default=64, help="features a pixel (64)")
    add("--kernel-size", type=odd, default=7, help="odd; of the masked convolutions in the blocks (7)")
    add("--blocks", type=up_to(100, least=0), default=5, help="residual blocks (5)")
    add("--no-layer-norm", action="store_true", help="leave out LayerNorm")
    add("--no-residual", action="store_true", help="leave out the residual connections")
    add("--dropout", type=share_below_1, default=0.0, help="share of what blocks add that training drops, below 1 (0)")
    arguments.add_pixel_arguments(parser)
    arguments.add_training_arguments(parser, NAME, **DEFAULTS)
    drawing.add_drawing_arguments(parser)
    return arguments.parse(parser, NAME)


def main():
    args = parse_arguments()
    dataset = arguments.load_data(args)
    common = dict(levels=dataset.levels, image_channels=dataset.image_shape[2], channels=args.channels,
                  kernel_size=args.kernel_size, ordered_colors=not args.independent_colors,
                  classes=arguments.classes_told(args, dataset), dropout=args.dropout, seed=args.seed)
    model = models.PixelCNN(**common, blocks=args.blocks,
                            layer_norm=not args.no_layer_norm, residual=not args.no_residual)
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
    pictures = drawing.save_masks(folder, model) + drawing.save_drawings(folder, model, dataset, args)
    print(f"wrote to {folder}: model.npz, training.npz, history.csv, curve.png, {', '.join(pictures)}")


if __name__ == "__main__":
    endings.run(main, stopped=arguments.GO_ON, ranks=True)
