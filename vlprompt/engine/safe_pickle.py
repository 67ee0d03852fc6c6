"""Read torch files that were pickled by foreign code, without running that code.

``torch.load(weights_only=True)`` rejects a file that names a class outside its list, e.g. a learning-rate
scheduler that an official repository pickled beside the weights.  :func:`load_inert` reads such files: tensors,
containers and plain values are rebuilt, every other object becomes an :class:`InertObject` that keeps only the
name of its class.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

# Constructors that only build data; anything not listed becomes an InertObject.
_HARMLESS = {
    ('collections', 'OrderedDict'),
    ('collections', 'defaultdict'),
    ('torch', 'Size'),
    ('torch', 'device'),
    ('torch._utils', '_rebuild_tensor'),
    ('torch._utils', '_rebuild_tensor_v2'),
    ('torch._utils', '_rebuild_parameter'),
    ('torch.nn.parameter', 'Parameter'),
    ('torch.serialization', '_get_layout'),
    ('_codecs', 'encode'),
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    ('numpy.core.multiarray', '_reconstruct'),
    ('numpy.core.multiarray', 'scalar'),
    ('numpy._core.multiarray', '_reconstruct'),
    ('numpy._core.multiarray', 'scalar'),
    ('builtins', 'set'),
    ('builtins', 'list'),
    ('builtins', 'dict'),
    ('builtins', 'int'),
    ('builtins', 'slice'),
    ('builtins', 'complex'),
}


class InertObject:
    """Placeholder of a foreign object; it ignores the state that pickle sets."""

    origin = 'unknown'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
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


class InertUnpickler(pickle.Unpickler):
    """An unpickler whose only callables are those of :data:`_HARMLESS` and storage and dtype names of torch."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _HARMLESS:
            return super().find_class(module, name)
        if module == 'torch' and (name.endswith('Storage') or isinstance(getattr(torch, name, None), torch.dtype)):
            return getattr(torch, name)
        return type('InertObject', (InertObject,), {'origin': f'{module}.{name}'})


def load_inert(path: str | Path) -> Any:
    """Load a torch checkpoint onto the CPU with every foreign object replaced by an :class:`InertObject`.

    Raises:
        pickle.UnpicklingError, RuntimeError: not a torch checkpoint.
    """
    module = SimpleNamespace(
        __name__='inert_pickle',
        Unpickler=InertUnpickler,
        load=lambda file, **kwargs: InertUnpickler(file, **kwargs).load(),
    )
    return torch.load(path, map_location='cpu', pickle_module=module, weights_only=False)
