"""A stand-in for CuPy: it computes with NumPy, and keeps the arrays of the "device" apart from NumPy's, as CuPy does.

With PYTHONPATH=tests/standin and TINYAR_BACKEND=cupy, `import cupy` finds this file, and a machine without a GPU can
tell whether code mixes the two kinds of arrays. A device array hides a NumPy array. It comes back to the host by
`asnumpy` or `get`, or as a single number (`float(a)`, `a.item()`, `bool(a)`, ...); each of these counts in `fetches`,
since it would wait for the GPU. The way to the device is `asarray` or `array`; as in CuPy, lists and NumPy arrays may
also serve as an index.

Refused as by CuPy 14, with the same type of error: np.asarray(a); a + host and host + a; a += host; a[...] = host;
xp.exp(host); and every function, method, option and name that isn't listed below, where nothing is listed that CuPy
lacks. Also as in CuPy, a reduction gives a 0-d array, an index array wraps around when it is out of bounds, and no
floating-point warning is given.

An array belongs to the device on which it was made, and computing on another one is refused.

Stricter than CuPy, which would compute these on the device: np.sum(a), np.exp(a) and all other functions of NumPy;
arrays of the host as operands of xp.einsum, as indices of xp.take, or as values of a[index_array] = host; comparisons
with None; and, in a fused function, arithmetic among numbers alone, which CuPy does in float16.

What it can't tell: speed, memory, the last digits, which functions take which number types, options of functions (not
methods) that only NumPy has, the order in which a GPU writes to a place that an index array names twice, whether
the result of `reshape` is a copy, and which operations on arrays CuPy can't fuse.
"""

import functools
import operator
import types

import numpy as np

from cupy import cuda

UFUNCS = """
    abs absolute add ceil cos divide equal exp exp2 expm1 floor floor_divide greater greater_equal invert isfinite isinf
    isnan less less_equal log log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul maximum minimum
    mod multiply negative not_equal power reciprocal remainder rint sign sin sqrt square subtract tanh true_divide
    """.split()
REDUCTIONS = {  # both functions and methods
    **dict.fromkeys(["all", "any", "argmax", "argmin", "max", "min"], ["axis", "out", "keepdims"]),
    **dict.fromkeys(["mean", "prod", "sum"], ["axis", "dtype", "out", "keepdims"]),
    **dict.fromkeys(["std", "var"], ["axis", "dtype", "out", "ddof", "keepdims"]),
    **dict.fromkeys(["cumprod", "cumsum"], ["axis", "dtype", "out"])}
METHODS = REDUCTIONS | {
    "argsort": ["axis", "kind"], "astype": ["dtype", "order", "casting", "subok", "copy"],
    "clip": ["min", "max", "out"], "copy": ["order"], "dot": ["b", "out"], "flatten": ["order"], "nonzero": [],
    "ravel": ["order"], "repeat": ["repeats", "axis"], "round": ["decimals", "out"], "sort": ["axis", "kind"],
    "squeeze": ["axis"], "swapaxes": ["axis1", "axis2"], "view": ["dtype"]}
ATTRIBUTES = ["T", "dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"]
ARITHMETIC = "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor".split()
FUNCTIONS = """
    allclose argsort argwhere array_equal ascontiguousarray bincount broadcast_to clip copy copyto count_nonzero diag
    diff dot empty_like expand_dims flatnonzero flip full_like isclose moveaxis nan_to_num nonzero ones_like outer pad
    put_along_axis ravel repeat reshape roll searchsorted sort split squeeze swapaxes tensordot tile transpose tril triu
    unique vdot zeros_like""".split()  # their first argument is an array
OTHERS = """
    arange broadcast_arrays concatenate empty eye full hstack linspace may_share_memory meshgrid ones result_type
    shares_memory stack tri vstack where zeros""".split()
SAME_AS_NUMPY = """
    bool_ complex128 dtype e finfo float16 float32 float64 floating iinfo inf int16 int32 int64 int8 integer issubdtype
    nan newaxis pi uint16 uint32 uint64 uint8""".split()
OWN = "array asarray asnumpy cuda einsum fuse is_available lib ndarray take take_along_axis".split()
__all__ = [*UFUNCS, *REDUCTIONS, *FUNCTIONS, *OTHERS, *SAME_AS_NUMPY, *OWN]

fetches = 0  # how often numbers went from the device to the host


class ndarray:
    """An array on the "device", made by the functions of this module. Operators and most methods follow at the end."""

    __array_ufunc__ = None  # so NumPy refuses np.exp(a), and leaves host + a to a.__radd__, which refuses it
    __hash__ = None

    def __init__(self, hidden):
        self._hidden, self._device = hidden, cuda.current()

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. "
                        "Please use `.get()` to construct a NumPy array explicitly.")

    def __array_function__(self, function, kinds, args, options):
        raise TypeError(f"np.{function.__name__} was given a CuPy array: write xp.{function.__name__}")

    def __getitem__(self, key):
        return _result(self._hidden[_index(key, self.shape)])

    def __setitem__(self, key, value):
        if isinstance(value, (np.ndarray, list, tuple)):
            raise ValueError(f"non-scalar {type(value)} cannot be used for fill")
        self._hidden[_index(key, self.shape)] = _argument(value)

    def __len__(self):
        return len(self._hidden)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __format__(self, form):
        return format(self.get(), form)

    def get(self):
        global fetches
        fetches += 1
        return self._hidden.copy()

    def fill(self, value):
        self[...] = value

    def reshape(self, *shape, order="C"):
        return _result(self._hidden.reshape(*shape, order=order))

    def transpose(self, *axes):
        return _result(self._hidden.transpose(*axes))

    def take(self, indices, axis=None, out=None):
        return _compute(np.take, self, indices, axis=axis, out=out, mode="wrap")


class FusedNumber:
    """A number in a fused function: a variable of the kernel, an operand beside arrays and nothing else."""

    def __init__(self, value):
        self.value = value

    def __bool__(self):
        raise TypeError("a fused function runs once to be recorded: the value of a number isn't known then")


NUMBERS = (bool, int, float, complex, np.generic)
OPERANDS = (ndarray, FusedNumber, *NUMBERS)


class Ufunc:
    """A function of single numbers, for arrays. Its operands are device arrays and Python or NumPy numbers alone."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        return _compute(self.function, *(_check(arg, OPERANDS) for arg in args), out=out, dtype=dtype, casting=casting)

    def at(self, a, indices, b):
        if self.function is not np.add:
            raise NotImplementedError("the stand-in offers add.at alone")
        np.add.at(a._hidden, _index(indices, a.shape), _argument(b))


# -- between the two kinds of arrays -----------------------------------------------------------------------------------


def _check(value, kinds):
    """value, if it is of one of these kinds; CuPy's error if not."""
    if not isinstance(value, kinds):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _argument(value):
    """An argument for NumPy: hidden arrays instead of device arrays, in lists too; arrays of the host are refused."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_argument, value))
    if isinstance(value, FusedNumber):
        return value.value
    if isinstance(value, (ndarray, np.ndarray)):
        if _check(value, ndarray)._device != cuda.current():
            raise ValueError(f"Array device must be same as the current device: array device = {value._device} while "
                             f"current = {cuda.current()}")
        return value._hidden
    return value


def _result(value):
    """NumPy's result as CuPy gives it: all arrays on the device, single numbers as 0-d arrays."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_result, value))
    return ndarray(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value


def _compute(function, *args, out=None, **options):
    """function on the device, without warnings: its result, or the array `out` that took it."""
    if out is not None:
        options["out"] = _check(out, ndarray)
    with np.errstate(all="ignore"):
        value = function(*map(_argument, args), **{name: _argument(option) for name, option in options.items()})
    return _result(value) if out is None else out


def _index(key, shape):
    """The index for NumPy. As in CuPy index arrays wrap around, and a single number is a 0-d view (by the Ellipsis)."""
    parts = key if isinstance(key, tuple) else (key,)
    parts = [part._hidden if isinstance(part, ndarray) else part for part in parts]
    parts = [np.array(part, dtype=None if part else int) if isinstance(part, list) else part for part in parts]
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    axes = [0 if part is None or part is Ellipsis else part.ndim if getattr(part, "dtype", None) == bool else 1
            for part in parts]  # how many axes of the array each part uses up
    axis = 0
    for i, part in enumerate(parts):
        if isinstance(part, np.ndarray) and part.dtype.kind in "iu":
            parts[i] = part.astype(np.int64) % max(shape[axis], 1)
        axis += len(shape) - sum(axes) if part is Ellipsis else axes[i]
    return tuple(parts)


# -- the functions that aren't simply NumPy's --------------------------------------------------------------------------


def array(obj, dtype=None):
    """A new device array with the numbers of an array of either kind, a number, or a list of these."""
    parts = obj if isinstance(obj, (list, tuple)) else [obj]
    on_device = any(isinstance(part, ndarray) for part in parts)
    hidden = np.array(_argument(obj) if on_device else obj, dtype=dtype)
    if hidden.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {hidden.dtype}")
    return ndarray(hidden)


def asarray(a, dtype=None):
    return a if isinstance(a, ndarray) and dtype in (None, a.dtype) else array(a, dtype)


def asnumpy(a):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def einsum(subscripts, *operands, dtype=None, optimize=False):
    return _compute(np.einsum, subscripts, *operands, dtype=dtype, optimize=optimize)


def take(a, indices, axis=None, out=None):
    return _check(a, ndarray).take(indices, axis, out)


def take_along_axis(a, indices, axis):
    return _compute(np.take_along_axis, a, _check(indices, ndarray).astype(int) % a.shape[axis], axis)


def fuse(*args, **options):
    """Makes one kernel of a function, on a GPU; used as @fuse or @fuse(...). Here it computes what it would without."""
    if not (args and callable(args[0])):
        return fuse
    function = args[0]

    @functools.wraps(function)
    def fused(*arguments):  # by position alone, as in CuPy
        for argument in arguments:
            _check(argument, (*OPERANDS, type(None)))
        if not any(isinstance(argument, ndarray) for argument in arguments):
            return function(*arguments)
        return function(*(FusedNumber(arg) if isinstance(arg, NUMBERS) else arg for arg in arguments))
    return fused


def is_available():
    return True


# -- everything else, made from the lists ------------------------------------------------------------------------------


def _method(name, options):
    def method(self, *args, **given):
        if len(args) > len(options) or not set(given) <= set(options):
            raise TypeError(f"CuPy's {name} takes {options}, it was given {len(args)} arguments and {list(given)}")
        return _compute(getattr(np.ndarray, name), self, *args, **given)
    return method


def _function(function, of_an_array=True):
    def on_device(*args, **options):
        if of_an_array:
            _check(args[0], ndarray)
        value = _compute(function, *args, **options)
        # NumPy's allclose, array_equal and count_nonzero give Python numbers
        return _result(np.asarray(value)) if of_an_array and isinstance(value, (bool, int)) else value
    return on_device


def _operator(function, swapped=False, in_place=False):
    def method(self, other):
        _check(other, OPERANDS)
        value = _compute(function, other, self) if swapped else _compute(function, self, other)
        return self if in_place else value
    return method


def _fetching(function):
    return lambda self: function(self.get())


for _name, _options in METHODS.items():
    setattr(ndarray, _name, _method(_name, _options))
for _name in ATTRIBUTES:
    setattr(ndarray, _name, property(lambda self, name=_name: _result(getattr(self._hidden, name))))
for _name in ARITHMETIC:
    setattr(ndarray, f"__{_name}__", _operator(getattr(operator, f"__{_name}__")))
    setattr(ndarray, f"__r{_name}__", _operator(getattr(operator, f"__{_name}__"), swapped=True))
    if _name != "matmul":  # which has none in CuPy
        setattr(ndarray, f"__i{_name}__", _operator(getattr(operator, f"__i{_name}__"), in_place=True))
for _name in ["eq", "ge", "gt", "le", "lt", "ne"]:
    setattr(ndarray, f"__{_name}__", _operator(getattr(operator, f"__{_name}__")))
for _name in ["abs", "invert", "neg", "pos"]:
    setattr(ndarray, f"__{_name}__", lambda self, function=getattr(operator, f"__{_name}__"): _compute(function, self))
for _name, _host_function in {"__bool__": bool, "__float__": float, "__int__": int, "__repr__": repr, "__str__": str,
                              "item": np.ndarray.item, "tolist": np.ndarray.tolist}.items():
    setattr(ndarray, _name, _fetching(_host_function))

lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(
    as_strided=_function(np.lib.stride_tricks.as_strided),
    sliding_window_view=_function(np.lib.stride_tricks.sliding_window_view)))

# Looked up by __getattr__, not set as globals: max, sum and others would hide Python's own in this file.
_offered = {
    **{name: Ufunc(getattr(np, name)) for name in UFUNCS},
    **{name: getattr(ndarray, name) for name in REDUCTIONS},
    **{name: _function(getattr(np, name)) for name in FUNCTIONS},
    **{name: _function(getattr(np, name), of_an_array=False) for name in OTHERS},
    **{name: getattr(np, name) for name in SAME_AS_NUMPY}}


def __getattr__(name):
    if name in _offered:
        return _offered[name]
    raise AttributeError(f"the stand-in for CuPy offers no {name!r}: if CuPy has it, add it to the lists in {__file__}")
