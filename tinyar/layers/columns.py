"""An image expanded for a convolution: on a CPU along its width, so that a row of a kernel is one matrix product.

The usual expansion ("im2col") copies every pixel once for each tap of the kernel. Here only the taps of one kernel row
are laid side by side (Cho & Brand 2017, arXiv 1706.06873, call it MEC): the pixels at the column offsets j of the
kernel, for every pixel. Row i of the kernel is then one matrix product with this expansion, read i rows further down,
where nothing is copied. As a loop:

    for place, j in enumerate(columns):
        expanded[:, r, c, place] = x[:, r, c + j]        0 outside the image

A GPU takes the usual expansion, `expand_taps`. There calls cost more than copies, and this way a layer is one product
instead of one for every kernel row.
"""

from tinyar.backend import xp
from tinyar.layers.windows import framed


def expand_width(x, columns, above=0, below=0):
    """For each pixel (r, c) the pixels (r, c + j) for j in `columns`, side by side; zeros outside the image.

    x (batch, height, width, channels) -> (batch, above + height + below, width, len(columns) * channels), with so many
    zero rows above and below. The offsets increase in equal steps.
    """
    height, width = x.shape[1:3]
    left, right = margins(columns)
    return windows(framed(x, (above, left), (above + height + below, left + width + right)), columns, width)


def margins(columns):
    """How many zero columns a row needs on its left and right, so that no offset leads out of it."""
    return max(0, -columns[0]), max(0, columns[-1])


def windows(padded, columns, width):
    """The pixels at the offsets `columns` of each of `width` pixels, of rows that have their margins already.

    padded (batch, rows, left + width + right, channels) -> (batch, rows, width, len(columns) * channels)
    """
    overlapping = overlapping_windows(padded, columns, width, margins(columns)[0])
    return xp.ascontiguousarray(overlapping).reshape(*padded.shape[:2], width, -1)


def overlapping_windows(padded, columns, width, left):
    """The windows as a view (batch, rows, width, len(columns), channels). padded has `left` zero columns on the left.

    Neighbours in a row lie side by side already, so that a window is a strided piece of it, and the windows overlap.
    """
    step = columns[1] - columns[0] if len(columns) > 1 else 1
    by_image, by_row, by_pixel, by_channel = padded.strides
    return xp.lib.stride_tricks.as_strided(
        padded[:, :, left + columns[0]:], (*padded.shape[:2], width, len(columns), padded.shape[3]),
        (by_image, by_row, by_pixel, step * by_pixel, by_channel))


def shifted_rows(expanded, first, height):
    """Rows first .. first + height - 1 of an expansion as matrices (batch, height * width, ...): a view, no copy."""
    batch, _, width, features = expanded.shape
    return expanded[:, first:first + height].reshape(batch, height * width, features)


def expand_taps(x, segments):
    """For each pixel (r, c) the pixels (r + i, c + j) at all taps of a kernel, side by side; zeros outside the image.

    x (batch, height, width, channels) -> (batch * height * width, taps * channels). segments: (row offset i, column
    offsets j) each, the rows increasing, the columns increasing in equal steps. As a loop over all taps in their order:

        expanded[:, r, c, place] = x[:, r + i, c + j]        0 outside the image
    """
    batch, height, width, channels = x.shape
    padded, above, left = with_margins(x, segments)
    if channels * x.itemsize % 16 == 0:
        padded = padded.view(xp.complex128)  # 16 bytes a number: a copy in fewer steps
    taps = sum(len(columns) for _, columns in segments)
    expanded = xp.empty((batch, height, width, taps, padded.shape[-1]), dtype=padded.dtype)
    first = 0
    for row, columns in segments:
        expanded[..., first:first + len(columns), :] = overlapping_windows(
            padded[:, above + row:above + row + height], columns, width, left)
        first += len(columns)
    return expanded.view(x.dtype).reshape(batch * height * width, -1)


def maps_of_taps(x, segments):
    """The same with the pixels in the last axis, for few channels on a CPU: there it copies whole rows of pixels.

    x (batch, height, width, channels) -> (batch, taps * channels + 1, height * width), for each tap the image moved by
    its offset. The last map is 1; it meets the bias.
    """
    batch, height, width, channels = x.shape
    padded, above, left = with_margins(x, segments)
    padded = xp.ascontiguousarray(padded.transpose(0, 3, 1, 2))
    corners = [(above + row, left + column) for row, columns in segments for column in columns]
    moved = xp.empty((batch, len(corners) * channels + 1, height, width), dtype=x.dtype)
    for n, (row, column) in enumerate(corners):
        moved[:, n * channels:(n + 1) * channels] = padded[:, :, row:row + height, column:column + width]
    moved[:, -1] = 1
    return moved.reshape(batch, -1, height * width)


def with_margins(x, segments):
    """x with as many zero rows and columns around it as the taps need; how many are above, and how many on the left."""
    height, width = x.shape[1:3]
    above, below = margins((segments[0][0], segments[-1][0]))
    left, right = (max(sides) for sides in zip(*(margins(columns) for _, columns in segments)))
    return framed(x, (above, left), (above + height + below, left + width + right)), above, left


def sum_images(products):
    """The sum of the matrices of all images, (batch, n, m) -> (n, m); on a GPU the images made one already."""
    return products.sum(axis=0) if products.ndim == 3 else products
