"""Slow definitions of the layers of a VQ-VAE: plain Python loops, to judge the fast code by. Host arrays in and out."""

import itertools

import numpy as np


def places(grid, kernel, stride, padding, size):
    """Every (window (r, c), tap (i, j), pixel (u, v)) in which the tap of the window lies on a pixel of the image."""
    for r, c, i, j in itertools.product(*map(range, (*grid, *kernel))):
        u, v = r * stride[0] + i - padding[0], c * stride[1] + j - padding[1]
        if 0 <= u < size[0] and 0 <= v < size[1]:
            yield (r, c), (i, j), (u, v)


def conv(x, w, b, stride, padding):
    """y (batch, rows, columns, out) of x (batch, height, width, in), w (kernel rows, kernel columns, in, out)."""
    grid = [1 + (n + 2 * p - k) // s for n, p, k, s in zip(x.shape[1:3], padding, w.shape, stride)]
    y = np.zeros((len(x), *grid, w.shape[3])) + b
    for (r, c), (i, j), (u, v) in places(grid, w.shape[:2], stride, padding, x.shape[1:3]):
        y[:, r, c] += x[:, u, v] @ w[i, j]
    return y


def conv_backward(x, w, dy, stride, padding):
    """(dx, dw, db): every product of the forward loops sends its share of dy back."""
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for (r, c), (i, j), (u, v) in places(dy.shape[1:3], w.shape[:2], stride, padding, x.shape[1:3]):
        dx[:, u, v] += dy[:, r, c] @ w[i, j].T
        dw[i, j] += x[:, u, v].T @ dy[:, r, c]
    return dx, dw, dy.sum(axis=(0, 1, 2))


def conv_transpose(x, w, b, stride, padding, output_padding):
    """y (batch, height, width, out) of x (batch, rows, columns, in), w (kernel rows, kernel columns, out, in)."""
    size = [(n - 1) * s - 2 * p + k + extra
            for n, s, p, k, extra in zip(x.shape[1:3], stride, padding, w.shape, output_padding)]
    y = np.zeros((len(x), *size, w.shape[2])) + b
    for (r, c), (i, j), (u, v) in places(x.shape[1:3], w.shape[:2], stride, padding, size):
        y[:, u, v] += x[:, r, c] @ w[i, j].T
    return y


def conv_transpose_backward(x, w, dy, stride, padding):
    """(dx, dw, db)."""
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for (r, c), (i, j), (u, v) in places(x.shape[1:3], w.shape[:2], stride, padding, dy.shape[1:3]):
        dx[:, r, c] += dy[:, u, v] @ w[i, j]
        dw[i, j] += dy[:, u, v].T @ x[:, r, c]
    return dx, dw, dy.sum(axis=(0, 1, 2))


def nearest(rows, codebook):
    """For each row the number of the code with the smallest squared distance, the lowest where several have it."""
    numbers = []
    for row in rows:
        distances = [float(((row - code) ** 2).sum()) for code in codebook]
        numbers.append(distances.index(min(distances)))
    return np.array(numbers)


def quantizer_gradients(rows, codebook, drows, beta):
    """(dz, dE) of sum(drows * e) straight through + mean |sg[z] - e|^2 + beta mean |z - sg[e]|^2, vector by vector."""
    dz, dcodebook = drows.copy(), np.zeros_like(codebook)
    for i, k in enumerate(nearest(rows, codebook)):
        dz[i] += beta * 2 * (rows[i] - codebook[k]) / rows.size
        dcodebook[k] += 2 * (codebook[k] - rows[i]) / rows.size
    return dz, dcodebook


def running_means(counts, means, batches, codebook, decay, eps):
    """(counts, means, codebook) after all batches, each assigned by the codebook of its time, code by code."""
    counts, means, codebook = counts.copy(), means.copy(), codebook.copy()
    for rows in batches:
        k = nearest(rows, codebook)
        for code in range(len(codebook)):
            counts[code] = decay * counts[code] + (1 - decay) * (k == code).sum()
            means[code] = decay * means[code] + (1 - decay) * rows[k == code].sum(axis=0)
        total = counts.sum()
        for code in range(len(codebook)):
            codebook[code] = means[code] / ((counts[code] + eps) / (total + len(codebook) * eps) * total)
    return counts, means, codebook
