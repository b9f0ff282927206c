"""How the channels of a feature map are dealt out to the colours, when colours are drawn in the order R, G, B.

A channel of group j at a pixel may depend on all earlier pixels and on the colours of this pixel before colour j:
group 0 (red) knows nothing of the current pixel, group 1 (green) knows red, group 2 (blue) knows red and green.
"""


def group_slices(channels, colors):
    """The slice of channels of each colour: channel k belongs to group floor(colors * k / channels).

    The groups are contiguous and their sizes differ by at most one: 64 channels give 22, 21, 21. Raises ValueError
    when there are fewer channels than colours.
    """
    if colors < 1 or channels < colors:
        raise ValueError(f"{channels} channels can't be dealt out to {colors} colours: "
                         "each colour needs at least one channel")
    edges = [-(-j * channels // colors) for j in range(colors + 1)]  # ceil(j * channels / colors)
    return [slice(start, stop) for start, stop in zip(edges, edges[1:])]
