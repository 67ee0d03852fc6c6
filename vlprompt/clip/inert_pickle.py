"""An unpickler that builds tensors, arrays of numbers and plain values, and nothing else.

Files of tensors are pickles, and a pickle may name any function to be called.  :class:`InertUnpickler` never imports
or calls what a file names: the constructors of tensors and arrays are replaced by functions of this module, which check
sizes before they touch memory, and every other object becomes an :class:`InertObject` that keeps the name of its class.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAX_EXPANDED = 2**24
"""Largest number of elements of a view that repeats the elements of its storage."""

MAX_DEPTH = 100
"""Deepest nesting of containers; what walks through them recursively needs a bound."""

LEAST_BUDGET = 2**24
"""Bytes that a pickle of any size may expand to; see :class:`InertUnpickler`."""

_SCALARS = (str, bytes, int, float, bool, type(None))

_DTYPES = {
    name: getattr(torch, name)
    for name in (
        *('bool', 'uint8', 'int8', 'int16', 'int32', 'int64', 'uint16', 'uint32', 'uint64'),
        *('float16', 'bfloat16', 'float32', 'float64', 'complex64', 'complex128'),
    )
}
"""Names of the plain element types; torch has others, whose tensors need more than bytes."""

_STORAGES = {
    **dict(Untyped='uint8', Byte='uint8', Char='int8', Short='int16', Int='int32', Long='int64', Half='float16'),
    **dict(Float='float32', Double='float64', Bool='bool', BFloat16='bfloat16'),
    **dict(ComplexFloat='complex64', ComplexDouble='complex128'),
}
"""Beginning of the name of a storage -> its elements."""


class InertObject:
    """Placeholder of a foreign object: calls, items and elements are ignored; ``state`` is what pickle would set."""

    origin = 'unknown'
    state: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Pickle appends to subclasses of list."""

    def extend(self, values: Any) -> None:
        """Pickle extends subclasses of list."""

    def add(self, value: Any) -> None:
        """Pickle adds to subclasses of set."""

    def __repr__(self) -> str:
        return f'<{self.origin}, not loaded>'


class Storage:
    """The elements of one or several tensors, as a file describes them.

    Args:
        dtype: of the elements.
        data: their bytes.
    """

    def __init__(self, dtype: torch.dtype, data: bytearray | memoryview) -> None:
        self.dtype, self.data = dtype, data


# --------------------------------------------------------------------------------------------- constructors of tensors


def _whole(numbers: Any) -> tuple[int, ...]:
    if not isinstance(numbers, tuple) or not all(type(n) is int and 0 <= n < 2**62 for n in numbers):
        raise pickle.UnpicklingError('a tensor or array has impossible sizes')
    return numbers


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view of a storage; the trailing arguments are ``requires_grad``, hooks and metadata."""
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError('a tensor has no storage')
    (offset,), size, stride = _whole((offset,)), _whole(size), _whole(stride)
    if len(size) != len(stride):
        raise pickle.UnpicklingError(f'a tensor has {len(size)} sizes and {len(stride)} strides')
    available = len(storage.data) // storage.dtype.itemsize
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else -1
    if last >= available or (count > available and count > MAX_EXPANDED):
        raise pickle.UnpicklingError(
            f'a tensor of shape {tuple(size)} does not fit its storage of {available} elements'
        )
    if not count:
        return torch.empty(size, dtype=storage.dtype)
    return torch.frombuffer(storage.data, dtype=storage.dtype).as_strided(size, stride, offset)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError('a parameter holds no tensor')
    return data


def _with_attributes(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with Python attributes, which are dropped."""
    if function not in (_tensor, _parameter) or not isinstance(arguments, tuple):
        raise pickle.UnpicklingError('a tensor of an unknown kind')
    return function(*arguments)


# ---------------------------------------------------------------------------------------------- constructors of arrays


class ArrayType:
    """Stands for ``numpy.dtype``: numbers and text of fixed length in native or swapped byte order, never objects."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or code[:1] not in 'biufcSU' or not code[1:].isdecimal() or len(code) > 8:
            shown = repr(code[:8]) if isinstance(code, str) else 'no text'
            raise pickle.UnpicklingError(f'an array of the type {shown}; only numbers and text are read')
        self.code, self.order = code, '='

    def set_order(self, state: Any) -> None:
        """Take the byte order from the state of a pickled dtype; everything else follows from the code."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ('<', '>', '=', '|'):
            raise pickle.UnpicklingError('the type of an array is damaged')
        self.order = '=' if state[1] == '|' else state[1]

    def build(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class Array(np.ndarray):
    """An array that is filled once, by :func:`_fill`."""

    filled = False


def _new_array(*_: Any) -> Array:
    return np.ndarray.__new__(Array, (0,))


def _fill(array: Array, state: Any) -> None:
    _, shape, kind, fortran, data = state
    if array.filled:
        raise pickle.UnpicklingError('an array is filled twice')
    if not isinstance(kind, ArrayType) or not isinstance(data, (bytes, str)):
        raise pickle.UnpicklingError('an array does not hold plain numbers')
    data = data.encode('latin1') if isinstance(data, str) else data  # of Python 2, read as latin1
    dtype, shape = kind.build(), _whole(shape)
    if len(shape) > 32 or math.prod(shape) * dtype.itemsize != len(data):
        raise pickle.UnpicklingError(f'an array of shape {tuple(shape)} does not fit its {len(data)} bytes')
    np.ndarray.__setstate__(array, (1, shape, dtype, bool(fortran), data))
    array.filled = True


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, ArrayType) or not isinstance(data, (bytes, str)):
        raise pickle.UnpicklingError('a number of NumPy is damaged')
    data = data.encode('latin1') if isinstance(data, str) else data
    (value,) = np.frombuffer(data, kind.build())
    return value.item()


# ------------------------------------------------------------------------------------------------- containers, values


def _size(numbers: Any = ()) -> torch.Size:
    return torch.Size(_whole(numbers))


def _set(items: Any = ()) -> set:
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, _SCALARS) for item in items):
        raise pickle.UnpicklingError('a set holds something other than text and numbers')
    return set(items)


def _ordered(items: Any = ()) -> OrderedDict:
    result: OrderedDict = OrderedDict()
    for key, value in items:
        result[_key(key)] = value
    return result


def _default(*_: Any) -> defaultdict:
    return defaultdict(None)


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ('latin1', 'utf-8', 'ascii'):
        raise pickle.UnpicklingError('a text is damaged')
    return text.encode(encoding)


_ARRAY_MODULES = ('numpy.core.multiarray', 'numpy._core.multiarray')
_BUILT: dict[tuple[str, str], Any] = {
    ('collections', 'OrderedDict'): _ordered,
    ('collections', 'defaultdict'): _default,
    ('torch', 'Size'): _size,
    ('torch._utils', '_rebuild_tensor'): _tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch._utils', '_rebuild_parameter_with_state'): _parameter,
    ('torch._tensor', '_rebuild_from_type_v2'): _with_attributes,
    ('numpy', 'dtype'): ArrayType,
    **{(module, '_reconstruct'): _new_array for module in _ARRAY_MODULES},
    **{(module, 'set'): _set for module in ('builtins', '__builtin__')},
}
"""What a file names -> what is called instead.  Anything else becomes an :class:`InertObject`."""


def _key(key: Any) -> Any:
    """A key of a dict or element of a set; hashing nested tuples could overflow the stack."""
    flat = isinstance(key, tuple) and all(isinstance(item, _SCALARS) for item in key)
    if not flat and not isinstance(key, (*_SCALARS, InertObject)):
        raise pickle.UnpicklingError(f'a key is a {type(key).__name__}')
    return key


class InertUnpickler(pickle._Unpickler):
    """An unpickler that calls only what this module defines.

    It is Python's own implementation in Python: that in C grows its memo to any number that a file names.

    Args:
        file: the pickle.
        load_storage: ``load_storage(dtype, key, count)`` reads the bytes of a tensor's storage; None: there are none.
        encoding: of the byte strings of Python 2.
        size: of the file in bytes.  What is made of its bytes, which a pickle may name again and again, takes at most
            four times as many, or :data:`LEAST_BUDGET`.
    """

    def __init__(
        self,
        file: io.BufferedIOBase,
        load_storage: Callable[[torch.dtype, str, int], bytearray | memoryview] | None = None,
        encoding: str = 'ASCII',
        size: int = 0,
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._load_storage = load_storage
        self._storages: dict[str, Storage] = {}
        self._budget = max(4 * size, LEAST_BUDGET)
        self._built = {**_BUILT, ('_codecs', 'encode'): self._encode}
        self._built |= {(module, 'scalar'): self._scalar for module in _ARRAY_MODULES}

    def load(self) -> Any:
        """The object in the pickle.

        Raises:
            pickle.UnpicklingError: it is damaged, or holds what is never built.
        """
        try:
            content = super().load()
        except pickle.UnpicklingError:
            raise
        except Exception as error:  # a damaged pickle makes the methods of the unpickler fail in any way
            text = str(error)[:200] if all(isinstance(part, (str, int)) for part in error.args) else ''
            raise pickle.UnpicklingError(f'{type(error).__name__}: {text}') from error
        _check_nesting(content)
        return content

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._built:
            return self._built[module, name]
        if module in ('torch', 'torch.storage'):
            if name in _DTYPES:
                return _DTYPES[name]
            if name.endswith('Storage') and name.removesuffix('Storage') in _STORAGES:
                return _DTYPES[_STORAGES[name.removesuffix('Storage')]]
        return type('InertObject', (InertObject,), {'origin': f'{module}.{name}'})

    def _spend(self, data: Any) -> None:
        """Count bytes or characters that are about to be copied."""
        self._budget -= len(data) if isinstance(data, (bytes, str)) else 0
        if self._budget < 0:
            raise pickle.UnpicklingError('its content expands to many times its size')

    def _encode(self, text: Any, encoding: Any = 'latin1', *_: Any) -> bytes:
        self._spend(text)
        return _encode(text, encoding)

    def _scalar(self, kind: Any, data: Any = None) -> Any:
        self._spend(data)
        return _scalar(kind, data)

    def persistent_load(self, pid: Any) -> Storage:
        """``('storage', type, key, location, count, ...)``; a storage that several tensors share is read once."""
        sound = isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == 'storage' and isinstance(pid[1], torch.dtype)
        if not sound or not isinstance(pid[2], str) or self._load_storage is None:
            raise pickle.UnpicklingError('it refers to data that the file does not hold')
        _, dtype, key, _, count = pid[:5]
        if key not in self._storages:
            (count,) = _whole((count,))
            self._storages[key] = Storage(dtype, self._load_storage(dtype, key, count))
        if self._storages[key].dtype != dtype:
            raise pickle.UnpicklingError(f'storage {key[:20]} has two types')
        return self._storages[key]

    # ------------------------------------------------------------------------------------------------------- opcodes

    dispatch = dict(pickle._Unpickler.dispatch)

    def load_build(self) -> None:
        """Set the state of an array, of its type, or of a placeholder; that of other objects is dropped."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Array):
            self._spend(state[4] if isinstance(state, tuple) and len(state) == 5 else b'')
            _fill(target, state)
        elif isinstance(target, ArrayType):
            target.set_order(state)
        elif isinstance(target, InertObject):
            target.state = state
        elif isinstance(target, OrderedDict) and isinstance(state, dict) and isinstance(state.get('_metadata'), dict):
            target._metadata = state['_metadata']  # versions of modules, which nn.Module.load_state_dict reads

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        self.stack[-1] = self._call(function, arguments)

    def load_newobj(self) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        self.append(self._call(cls, arguments))

    def load_newobj_ex(self) -> None:
        self.stack.pop()  # keyword arguments
        self.load_newobj()

    def _instantiate(self, cls: Any, arguments: Any) -> None:  # of the opcodes INST and OBJ
        self.append(self._call(cls, tuple(arguments)))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][_key(key)] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def load_additems(self) -> None:
        items, target = self.pop_mark(), self.stack[-1]
        for item in items:
            target.add(_key(item))

    def load_frozenset(self) -> None:
        self.append(frozenset(map(_key, self.pop_mark())))

    def _refuse(self) -> None:
        raise pickle.UnpicklingError('it holds a buffer')  # reserved unread, or shared with an array

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(arguments, tuple):
            raise pickle.UnpicklingError('an object is built from something other than a list of values')
        inert = isinstance(function, type) and issubclass(function, (InertObject, ArrayType))
        if inert or any(function is known for known in self._built.values()):
            return function(*arguments)
        raise pickle.UnpicklingError(f'a {type(function).__name__} is called, which builds no data')

    dispatch |= {
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BYTEARRAY8[0]: _refuse,
        pickle.NEXT_BUFFER[0]: _refuse,
        pickle.READONLY_BUFFER[0]: _refuse,
    }


def _check_nesting(content: Any) -> None:
    """Raise if containers hold themselves, or are nested too deeply: others walk through them recursively."""
    heights: dict[int, int] = {}
    above: set[int] = set()
    todo = [(content, False)]
    while todo:
        node, done = todo.pop()
        children = _children(node)
        if done:
            above.discard(id(node))
            heights[id(node)] = 1 + max((heights.get(id(child), 0) for child in children), default=0)
            if heights[id(node)] > MAX_DEPTH:
                raise pickle.UnpicklingError(f'its content is nested more than {MAX_DEPTH} levels deep')
        elif id(node) in above:
            raise pickle.UnpicklingError('its content holds itself')
        elif children and id(node) not in heights:
            above.add(id(node))
            todo.append((node, True))
            todo += [(child, False) for child in children]


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    if isinstance(node, (list, tuple)):
        return list(node)
    return [node.state] if isinstance(node, InertObject) else []
