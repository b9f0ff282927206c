"""Lesson: are the drawn images of the class that was asked for? A classifier that saw the training images judges.

    python examples/recognize.py runs/gated-digits             a run of train_gated.py --data digits --classes
    python examples/recognize.py runs/vqvae2-mnist --n 1000    of train_vqvae2.py or train_vqvae.py, with --classes

The judge blurs all images a little, finds the 5 training images nearest to each (in squared distance), and takes the
class that most of them have; of equally many, that of the nearest one. Real test images show how far the judge itself
can be trusted. What it doesn't see: draws that are all alike, or copied from the training images.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import functools

import draw
import numpy as np
from arguments import ArgumentParser, add_data_dir, load_again
from drawing import names_of
from kinds import MOST_DRAWN, natural, path, temperature, up_to
from scipy.ndimage import gaussian_filter
from splits import some_of

NEAREST, BLUR = 5, 0.7  # training images that vote; pixels, the standard deviation of the blur
AT_ONCE = 100  # images to judge


def main():
    parser = ArgumentParser(__doc__)
    parser.add_argument("checkpoint", type=path, help="the folder of a run, its model.npz, or pretrained/NAME")
    parser.add_argument("--n", type=up_to(MOST_DRAWN, least=1), default=1000, help="images to draw, in all (1000)")
    parser.add_argument("--temperature", type=temperature, default=1.0, help="divides the logits in drawing (1)")
    parser.add_argument("--seed", type=natural, default=0, help="another number, other draws (0)")
    add_data_dir(parser)
    parser.set_defaults(prior=None)
    args = parser.parse_args()
    (model, about), *priors = draw.load(args)
    classes = (priors[0][0] if priors else model).classes
    if not classes:
        raise ValueError(f"{args.checkpoint} is told no classes: expected a run with --classes")
    if not about.get("image_shape"):
        raise ValueError(f"{about['file']} doesn't say how large its images were")
    dataset = load_again(about, args.data_dir)

    labels = np.arange(args.n) % classes
    drawn = drawn_images(args, model, priors, about["image_shape"], labels)
    height, width, _ = dataset.image_shape  # a VQ-VAE may have painted a margin around it
    top, left = (drawn.shape[1] - height) // 2, (drawn.shape[2] - width) // 2
    judge = functools.partial(judged, dataset.train.images / (dataset.levels - 1), dataset.train.labels)
    found = judge(drawn[:, top:top + height, left:left + width] / (dataset.levels - 1))
    real = some_of(dataset.test, args.n)
    for label, name in enumerate(names_of(range(classes), dataset.class_names)):
        mine = found[labels == label]
        if len(mine):
            print(f"{name}: {100 * (mine == label).mean():.0f} % of {len(mine)} drawn images are taken for it")
    print(f"drawn: {100 * (found == labels).mean():.1f} % of {args.n:,} images are taken for what was asked for")
    share = (judge(real.images / (dataset.levels - 1)) == real.labels).mean()
    print(f"real:  {100 * share:.1f} % of {len(real):,} test images are taken for what they are")


def drawn_images(args, model, priors, image_shape, labels):
    """An image of each label, drawn by the model, or by the priors of its codes."""
    grid = draw.grid_of(model, priors, image_shape)
    return draw.drawer(model, *priors)(len(labels), grid, labels=labels, temperature=args.temperature, seed=args.seed,
                                       progress=True)


def judged(known, classes, images):
    """The class of each image (n, height, width, channels), by the NEAREST of the known images."""
    known, images = (blurred(some).reshape(len(some), -1) for some in (known, images))
    squares, found, voters = (known * known).sum(axis=1), [], min(NEAREST, len(known))
    for i in range(0, len(images), AT_ONCE):
        distance = squares - 2 * images[i:i + AT_ONCE] @ known.T  # (some images, known), less the images' own squares
        nearest = np.argpartition(distance, voters - 1, axis=1)[:, :voters]
        order = np.take_along_axis(distance, nearest, axis=1).argsort(axis=1)
        votes = classes[np.take_along_axis(nearest, order, axis=1)]  # (some images, voters), the nearest first
        count = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
        found.append(votes[np.arange(len(votes)), count.argmax(axis=1)])
    return np.concatenate(found)


def blurred(images):
    """Images (n, height, width, channels), blurred, float32."""
    return gaussian_filter(images.astype(np.float32), (0, BLUR, BLUR, 0))


if __name__ == "__main__":
    endings.run(main)
