"""What some examples do to a dataset: fewer images, a margin, maps."""

import dataclasses

import numpy as np


def of_each(dataset, change, description):
    """The dataset with change(split) in the place of each of its three splits, and with another description."""
    splits = {name: change(getattr(dataset, name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(dataset, description=description, **splits)


# -- fewer, larger -----------------------------------------------------------------------------------------------------

def spread_evenly(total, n=None):
    """The numbers of n of so many images, of all for None: (n,). Some files are sorted, so the first ones won't do."""
    n = min(n or total, total)
    return np.arange(n) * total // n


def some_of(split, n):
    """n images of a split, spread evenly, with what is known of them; all, if there aren't so many."""
    numbers = spread_evenly(len(split), n)
    labels, maps = (known if known is None else known[numbers] for known in (split.labels, split.maps))
    return dataclasses.replace(split, images=split.images[numbers], labels=labels, maps=maps, redraw=None)


def first(dataset, n):
    """The first n images of each split, with their labels."""
    def cut(split):
        redraw = split.redraw and (lambda epoch: split.redraw(epoch)[:n])
        labels = None if split.labels is None else split.labels[:n]
        return dataclasses.replace(split, images=split.images[:n], labels=labels, redraw=redraw)

    return of_each(dataset, cut, f"{dataset.description}, the first {n:,} of each")


def padded(dataset, stride):
    """The dataset with a margin of level 0 around its images, as even as can be, so that stride divides their sides.

    Images smaller than the stride stay as they are: not even one code fits in, and the VQ-VAE refuses them.
    """
    height, width, _ = dataset.image_shape
    down, right = -height % stride, -width % stride
    if stride > min(height, width) or not (down or right):
        return dataset
    print(f"A stride of {stride} doesn't divide {height}x{width}, so the images get a margin, "
          "which counts in all figures.")
    margin = (0, 0), (down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)

    def pad(split):
        redraw = split.redraw and (lambda epoch: np.pad(split.redraw(epoch), margin))
        return dataclasses.replace(split, images=np.pad(split.images, margin), redraw=redraw)

    return of_each(dataset, pad,
                   f"{dataset.description}, with a margin of level 0 to {height + down}x{width + right}")


# -- small images as maps ----------------------------------------------------------------------------------------------

def with_maps(dataset, factor):
    """The dataset with maps of its small images. They are kept in memory: 14 kB for a grey 28x28, 1 GB for MNIST."""
    if dataset.train.redraw:
        raise ValueError("--binarize fresh: the maps are made once, of images that don't change; expected fixed")
    height, width, _ = dataset.image_shape
    return of_each(dataset,
                   lambda split: dataclasses.replace(split, maps=maps_of(split.images, factor, dataset.levels)),
                   f"{dataset.description}, from {height // factor}x{width // factor}")


def maps_of(images, factor, levels):
    """What the network is told of each image, -1 .. 1: (N, height, width, 9 * channels), the same all over a block.

    Each pixel is told of the small pixel that lies there and of the eight around it. Beyond the border it is told 0,
    a grey in the middle.
    """
    small = shrink(images, factor) * (2 / (levels - 1)) - 1
    rows, columns = small.shape[1:3]
    bordered = np.pad(small, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = [bordered[:, i:i + rows, j:j + columns] for i, j in np.ndindex(3, 3)]
    return enlarge(np.concatenate(around, axis=3).astype(np.float16), factor)  # float32 in the network; half the memory


def shrink(images, factor):
    """The mean of every block, in levels: (N, height, width, channels) -> (N, height / factor, width / factor, ...).

    Raises ValueError for a height or width that isn't a multiple of the factor.
    """
    n, height, width, channels = images.shape
    if height % factor or width % factor:
        raise ValueError(f"--factor: {height}x{width} images don't divide into blocks of {factor}x{factor}")
    return images.reshape(n, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))


def enlarge(small, factor):
    """Every pixel as a block of factor x factor equal ones."""
    return small.repeat(factor, axis=1).repeat(factor, axis=2)
