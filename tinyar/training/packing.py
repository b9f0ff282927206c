"""Nested dicts as JSON and arrays, and back: what a checkpoint is made of."""

import json

import numpy as np

from tinyar.backend import to_host, xp


def pack(value, path, arrays):
    """`value` with its arrays moved into the dict `arrays`, under their path; in their place stands {"array": path}."""
    if isinstance(value, dict):
        return {key: pack(item, f"{path}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, (np.ndarray, xp.ndarray)):
        arrays[path] = to_host(value)
        return {"array": path}
    return value


def unpack(value, path, arrays):
    """The inverse of pack. Raises KeyError for an array that isn't there."""
    if isinstance(value, dict):
        if value == {"array": path}:
            return arrays[path]
        return {key: unpack(item, f"{path}/{key}", arrays) for key, item in value.items()}
    return value


def as_text(value):
    """As an array of bytes, the text of JSON."""
    return np.frombuffer(to_json(value).encode(), dtype=np.uint8)


def to_json(value):
    """As text, NumPy's scalars as Python's. Raises ValueError for what JSON has no words for."""
    try:
        return json.dumps(value, default=lambda scalar: scalar.item())
    except (TypeError, AttributeError):
        raise ValueError(f"can't be saved, expected texts, numbers, lists and dicts: {value}") from None


def plain_json(value):
    """As JSON would give it back: tuples as lists."""
    return json.loads(to_json(value))
