"""Lesson: image models with a memory: a plain LSTM over the pixels, the Row LSTM, and the Diagonal BiLSTM.

    python examples/train_pixelrnn.py --data digits          the naive one, pixel after pixel: 1.83 bits/dim in 28 s
    ... --data digits --model row                            row by row; --model diagonal: diagonal by diagonal
    ... --data mnist --levels 2 --model row --images 6400    what a CPU affords
    ... --data digits --scheduled-sampling linear            practise on its own draws
    ... --model row --resume                                 go on with the latest run of this model

A recurrence is a loop in training too: over pixels in the naive one, over rows, or over diagonals. So it takes long.
The README says what such runs came to, in bits per dimension and minutes. A run writes to a new folder in runs/:
model.npz (the best weights), training.npz (to resume), history.csv, curve.png, samples.png, and drawing.gif with --gif.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import math

import arguments
import drawing
import splits
from kinds import MOST_CHANNELS, ByData, positive, up_to, whole
from scipy.special import lambertw

from tinyar import models, training
from tinyar.optim import Adam, RMSProp, cosine
from tinyar.training.scheduled_sampling import ScheduledSampling, exponential, inverse_sigmoid, linear

NAME = "{model}"
MODELS = {"naive": models.PixelRNN, "row": models.RowLSTM, "diagonal": models.DiagonalBiLSTM}
DEFAULTS = {
    "naive": dict(hidden=ByData(256, digits=128), layers=1, clip=1.0,
                  epochs=ByData(3, digits=25), batch_size=ByData(64, digits=16), lr=ByData(2e-3, digits=6e-3)),
    "row": dict(hidden=32, layers=4,
                epochs=ByData(3, digits=10), batch_size=ByData(32, digits=16), lr=ByData(2e-3, digits=3e-3)),
    "diagonal": dict(hidden=32, layers=2,
                     epochs=ByData(3, digits=10), batch_size=ByData(32, digits=16), lr=ByData(2e-3, digits=3e-3)),
}
OPTIMIZERS = {"adam": Adam, "rmsprop": RMSProp}
SCHEDULES = {  # of the share of true pixels, which comes to one half at the last update
    "none": lambda updates: None,
    "linear": lambda updates: ScheduledSampling(linear(slope=0.5 / updates)),
    "exponential": lambda updates: ScheduledSampling(exponential(0.5 ** (1 / updates))),
    "inverse-sigmoid": lambda updates: ScheduledSampling(inverse_sigmoid(math.exp(lambertw(updates).real))),
}


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    parser.epilog = "\n".join(f"defaults of --model {name}: {defaults}" for name, defaults in DEFAULTS.items())
    add = parser.add_argument
    add("--model", choices=MODELS, default="naive", help="which recurrence (naive)")
    add("--images", type=whole, help="use the first so many images of each split only (all)")
    add("--hidden", type=up_to(MOST_CHANNELS), help="numbers in a state (see below)")
    add("--layers", type=up_to(100), help="LSTM layers (see below)")
    add("--optimizer", choices=OPTIMIZERS, default="adam", help="the paper used RMSProp (adam)")
    add("--clip", type=positive, help="limit of the gradients' common norm (naive: 1, others: none)")
    add("--scheduled-sampling", choices=SCHEDULES, default="none",
        help="feed it its own draws, by this schedule: at the end in half of the pixels (none)")
    arguments.add_pixel_arguments(parser)
    arguments.add_training_arguments(parser, NAME)
    drawing.add_drawing_arguments(parser)
    args = arguments.parse(parser, NAME)
    if args.model == "naive" and args.independent_colors and not args.resume:
        parser.error("--independent-colors would do nothing: the colours of the naive model always are independent")
    return args


def main():
    args = parse_arguments()
    arguments.fill_in(args, DEFAULTS[args.model])
    dataset = arguments.load_data(args)
    classes = arguments.classes_told(args, dataset)  # of all images, before they are cut
    if args.images:
        dataset = splits.first(dataset, args.images)
    common = dict(levels=dataset.levels, image_channels=dataset.image_shape[2], hidden=args.hidden, layers=args.layers,
                  classes=classes, seed=args.seed)
    if args.model != "naive":  # there the colours are always independent
        common.update(head=(2 * args.hidden, 2 * args.hidden), ordered_colors=not args.independent_colors)
    model = MODELS[args.model](**common)
    arguments.print_start(dataset, model)
    arguments.start_from(args, model)

    folder = arguments.folder_for(args, NAME)
    updates = args.epochs * -(-len(dataset.train) // args.batch_size)
    history = training.fit(model, dataset.train, dataset.validation, epochs=args.epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           optimizer=OPTIMIZERS[args.optimizer], clip=args.clip,
                           scheduled_sampling=SCHEDULES[args.scheduled_sampling](updates),
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
