"""An image expanded along its width, so that a row of a kernel is one matrix product.

The usual expansion ("im2col") copies every pixel once for each tap of the kernel. Here only the taps of one kernel row
are laid side by side (Cho & Brand 2017, arXiv 1706.06873, call it MEC): the pixels at the column offsets j of the
kernel, for every pixel. Row i of the kernel is then one matrix product with this expansion, read i rows further down,
where nothing is copied. As a loop:

    for place, j in enumerate(columns):
        expanded[:, r, c, place] = x[:, r, c + j]        0 outside the image
"""

from tinyar.backend import xp


def expand_width(x, columns, above=0, below=0):
    """For each pixel (r, c) the pixels (r, c + j) for j in `columns`, side by side; zeros outside the image.

    x (batch, height, width, channels) -> (batch, above + height + below, width, len(columns) * channels), with so many
    zero rows above and below. The offsets increase in equal steps.
    """
    batch, height, width, channels = x.shape
    left, right = margins(columns)
    padded = xp.zeros((batch, above + height + below, left + width + right, channels), dtype=x.dtype)
    padded[:, above:above + height, left:left + width] = x
    return windows(padded, columns, width)


def margins(columns):
    """How many zero columns a row needs on its left and right, so that no offset leads out of it."""
    return max(0, -columns[0]), max(0, columns[-1])


def windows(padded, columns, width):
    """The pixels at the offsets `columns` of each of `width` pixels, of rows that have their margins already.

    padded (batch, rows, left + width + right, channels) -> (batch, rows, width, len(columns) * channels)
    """
    first, step = columns[0] + margins(columns)[0], columns[1] - columns[0] if len(columns) > 1 else 1
    by_image, by_row, by_pixel, by_channel = padded.strides
    # Neighbours in a row lie side by side already, so that a window is a strided piece of it, and the windows overlap.
    overlapping = xp.lib.stride_tricks.as_strided(
        padded[:, :, first:], (*padded.shape[:2], width, len(columns), padded.shape[3]),
        (by_image, by_row, by_pixel, step * by_pixel, by_channel))
    return xp.ascontiguousarray(overlapping).reshape(*padded.shape[:2], width, -1)


def shifted_rows(expanded, first, height):
    """Rows first .. first + height - 1 of an expansion as matrices (batch, height * width, ...): a view, no copy."""
    batch, _, width, features = expanded.shape
    return expanded[:, first:first + height].reshape(batch, height * width, features)
