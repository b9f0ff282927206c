"""Slow definitions of the recurrent layers: pixel by pixel, channel by channel. Host arrays in and out."""

import math

import numpy as np


def cell(z, c_prev):
    """(h, c) of one LSTM cell, number by number; z (4 * hidden), gates in the order o, f, i, g; c_prev (hidden)."""
    hidden = len(c_prev)
    h, c = np.zeros(hidden), np.zeros(hidden)
    for k in range(hidden):
        o, f, i = (1 / (1 + math.exp(-z[gate * hidden + k])) for gate in range(3))
        g = math.tanh(z[3 * hidden + k])
        c[k] = f * c_prev[k] + i * g
        h[k] = o * math.tanh(c[k])
    return h, c


def image_of_cells(z, states_before):
    """y (batch, height, width, hidden): the cell at every pixel in raster order.

    states_before(h, c, row, col) gives, from the states (height, width, hidden), what w adds at the pixel, and c_prev.
    """
    batch, height, width, gates = z.shape
    y = np.zeros((batch, height, width, gates // 4))
    for n in range(batch):
        h, c = np.zeros(y.shape[1:]), np.zeros(y.shape[1:])
        for at in pixels_in_order(height, width):
            contribution, c_prev = states_before(h, c, *at)
            h[at], c[at] = cell(z[(n, *at)] + contribution, c_prev)
        y[n] = h
    return y


def pixels_in_order(height, width):
    return [(r, col) for r in range(height) for col in range(width)]


def sequence(z, w, h0, c0):
    """Every pixel reads the one before it in raster order."""
    width = z.shape[2]

    def before(h, c, row, col):
        n = row * width + col - 1
        previous = divmod(n, width)
        return (h0 @ w[0], c0) if n < 0 else (h[previous] @ w[0], c[previous])
    return image_of_cells(z, before)


def row_lstm(z, w, h0, c0):
    """Every pixel reads len(w) pixels of the row above, and its cell state the one right above."""
    width, m = z.shape[2], len(w) // 2

    def before(h, c, row, col):
        contribution = 0
        for j in range(len(w)):
            if 0 <= col + j - m < width:
                contribution = contribution + (h[row - 1, col + j - m] if row else h0) @ w[j]
        return contribution, c[row - 1, col] if row else c0
    return image_of_cells(z, before)


def diagonal(z, w, h0, c0):
    """Every pixel reads its left and its upper neighbour, and its cell state the left one."""
    def before(h, c, row, col):
        left = h[row, col - 1] if col else h0
        up = h[row - 1, col] if row else np.zeros_like(h0)
        return left @ w[0] + up @ w[1], c[row, col - 1] if col else c0
    return image_of_cells(z, before)


def diagonal_from_the_right(z, w, h0, c0):
    """Every pixel reads its right and its upper neighbour, its cell state the right one; rows go from right to left."""
    batch, height, width, gates = z.shape
    y = np.zeros((batch, height, width, gates // 4))
    for n in range(batch):
        for row in range(height):
            right, c = h0, c0
            for col in reversed(range(width)):
                up = y[n, row - 1, col] if row else np.zeros_like(h0)
                y[n, row, col], c = cell(z[n, row, col] + right @ w[0] + up @ w[1], c)
                right = y[n, row, col]
    return y


def both_diagonals(z, left, right):
    """left and right are (w, h0, c0); what the right direction says of a row is added to the row below."""
    half = z.shape[-1] // 2
    y, from_the_right = diagonal(z[..., :half], *left), diagonal_from_the_right(z[..., half:], *right)
    for row in range(1, z.shape[1]):
        y[:, row] += from_the_right[:, row - 1]
    return y
