"""The one function that reads files of tensors: weights, checkpoints, states to resume, stored features.

It knows the two forms of ``torch.save``, TorchScript archives, safetensors and NumPy's ``.npz``, which it tells apart
by their bytes.  Nothing in a file is ever executed (:mod:`vlprompt.clip.inert_pickle`), sizes are compared with the
file before memory is reserved, and the sums of zip archives reveal flipped bytes.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from vlprompt.clip.inert_pickle import InertObject, InertUnpickler
from vlprompt.errors import CheckpointError
from vlprompt.messages import enumerate_names

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_BLOCK = 2**24
STATE_KEYS = ('state_dict', 'model', 'teacher', 'module', 'target_encoder')
"""Names under which training code saves a state dict beside other things, in the order they are looked for."""

_LOCAL_HEADER = struct.Struct('<26xHH')  # of a record in a zip archive; the lengths of what follows it before the bytes

_NOT_TENSORS = (
    (b'version https://git-lfs', "a pointer of Git LFS: fetch the file itself with 'git lfs pull'"),
    (b'<', 'a web page: download the file itself, not the page that describes it'),
    (b'\x1f\x8b', 'compressed with gzip: unpack it first'),
    (b'BZh', 'compressed with bzip2: unpack it first'),
    (b'\xfd7zXZ', 'compressed with xz: unpack it first'),
    (b'\x89HDF', 'an HDF5 file, not one of PyTorch'),
    (b'\x89PNG', 'an image'),
    (b'\xff\xd8\xff', 'an image'),
    (b'%PDF', 'a PDF'),
)


class ScriptTensors(dict):
    """Parameters and buffers of a TorchScript archive by name, as ``state_dict()`` of the module would give them."""


def read_tensors(path: str | os.PathLike, what: str = 'file', mapped: bool = False) -> Any:
    """The content of a file of tensors, on the CPU, without running any code that it carries.

    Args:
        path: a file of ``torch.save``, a TorchScript archive, safetensors, or ``.npz`` with numbers or text.
        what: what it is, for the message if it does not exist.
        mapped: tensors in an archive of ``torch.save`` stay in the file, mapped into memory: processes that read it
            share its pages, and what is written to a tensor is not written to the file.  Their sums are compared all
            the same.  The file may be replaced, but must not be changed, while they are used.

    Returns:
        What was saved, with :class:`~vlprompt.clip.inert_pickle.InertObject` in place of objects other than tensors,
        arrays, containers and plain values; parameters are plain tensors without gradient.  Of a TorchScript archive a
        :class:`ScriptTensors`, of an ``.npz`` a dict of arrays.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: no such kind of file, or a damaged one; the message names it and says what it is.
    """
    with _opened(path, what) as file:
        return read_stream(file, os.fstat(file.fileno()).st_size, str(file.name), mapped)


@contextmanager
def _opened(path: str | os.PathLike, what: str) -> Iterator[BinaryIO]:
    """A regular file, opened to be read."""
    path = Path(path).expanduser()
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f'{what} {path} does not exist (working directory: {os.getcwd()})') from None
    except OSError as error:
        raise CheckpointError(f'{path} cannot be read: {error}') from error
    if not stat.S_ISREG(mode):
        raise CheckpointError(f'{path} is {"a folder, not a file" if stat.S_ISDIR(mode) else "no regular file"}')
    try:
        with open(path, 'rb') as file:
            yield file
    except OSError as error:
        raise CheckpointError(f'{path} cannot be read: {error}') from error


def read_safetensors(path: str | os.PathLike, what: str = 'file') -> dict[str, Tensor]:
    """The tensors of a safetensors file; a file of any other form, such as a pickle of that name, is not decoded.

    Raises:
        FileNotFoundError, CheckpointError: as of :func:`read_tensors`, or another kind of file.
    """
    with _opened(path, what) as file:
        head, size = file.read(9), os.fstat(file.fileno()).st_size
        if size and (len(head) < 9 or head[8:] != b'{' or 8 + int.from_bytes(head[:8], 'little') > size):
            raise CheckpointError(f'{path} is no safetensors file, or a damaged one; nothing else is read here')
        file.seek(0)
        return read_stream(file, size, str(path))


def read_stream(file: BinaryIO, size: int, source: str, mapped: bool = False) -> Any:
    """:func:`read_tensors` of an opened file.

    Args:
        file: at its beginning.
        size: of the file in bytes.
        source: its name, for messages.
        mapped: as of :func:`read_tensors`, for a file of the operating system.

    Raises:
        CheckpointError: as of :func:`read_tensors`.
    """
    try:
        return _read(file, size, mapped)
    except (MemoryError, OSError):
        raise
    except (_Damaged, pickle.UnpicklingError) as error:
        raise CheckpointError(f'{source} cannot be read: {error}') from error
    except Exception as error:  # damaged bytes lead decoders to errors of any kind
        raise CheckpointError(f'{source} cannot be read: it is damaged ({type(error).__name__})') from error


class _Damaged(ValueError):
    """Why a file cannot be read."""


def _read(file: BinaryIO, size: int, mapped: bool) -> Any:
    head = file.read(512)
    file.seek(0)
    if not head.strip(b'\0'):
        raise _Damaged('it is empty' if not head else 'it begins with zeros, perhaps a broken download')
    if head.startswith(b'PK'):
        return _read_zip(file, size, mapped)
    if 8 + int.from_bytes(head[:8], 'little') <= size and head[8:9] == b'{':
        try:
            return load_safetensors(file.read())
        except (SafetensorError, ValueError, KeyError) as error:
            raise _Damaged(f'it is damaged, perhaps a broken download: {error}') from error
    if head[0] == 0x80:
        return _read_legacy(file, size)
    for start, what in _NOT_TENSORS:
        if head.lstrip().startswith(start):
            raise _Damaged(f'it is {what}')
    raise _Damaged('it is no file of tensors (torch.save, TorchScript, safetensors, .npz), or a broken download of one')


# ------------------------------------------------------------------------------------------------------- zip archives


class _Records:
    """The records of a zip archive of PyTorch or NumPy, which are stored without compression.

    Raises:
        _Damaged: a sum or a size that does not agree, or compressed records.
    """

    def __init__(self, file: BinaryIO, size: int, mapped: bool) -> None:
        self.map = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)) if mapped else None
        try:
            self.archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, IndexError) as error:
            raise _Damaged(f'it is damaged or incomplete, perhaps a broken download ({error})') from error
        self.left = size
        self.entries = {info.filename: info for info in self.archive.infolist()}

    def names(self, ending: str) -> list[str]:
        return [name for name in self.entries if name == ending or name.endswith(f'/{ending}')]

    def read(self, name: str) -> bytearray:
        """The bytes of a record."""
        info = self._stored(name)
        data = bytearray()
        try:
            with self.archive.open(info) as record:
                while block := record.read(_BLOCK):  # the last one compares the sum
                    data += block
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, struct.error) as error:
            raise _Damaged(f'it is damaged: {error}') from error
        if len(data) != info.file_size:
            raise _Damaged(f'{name} in it is incomplete')
        return data

    def place(self, name: str) -> bytearray | memoryview:
        """The bytes of a record, where they lie if the file is mapped."""
        if self.map is None:
            return self.read(name)
        info = self._stored(name)
        header = self.map[info.header_offset :][: _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size:
            raise _Damaged(f'{name} in it is incomplete')
        start = info.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header))
        data = self.map[start : start + info.file_size]
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise _Damaged(f'{name} in it is incomplete or damaged')
        return data

    def _stored(self, name: str) -> zipfile.ZipInfo:
        """The entry of a record that is stored as it is."""
        info = self.entries.get(name)
        if info is None:
            raise _Damaged(f'it is incomplete: there is no {name} in it')
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise _Damaged(f'{name} in it is compressed or encrypted, which torch.save never does')
        self.left -= info.file_size
        if info.file_size != info.compress_size or self.left < 0:  # records may lie inside of each other
            raise _Damaged(f'the size of {name} in it is wrong')
        return info


def _read_zip(file: BinaryIO, size: int, mapped: bool) -> Any:
    records = _Records(file, size, mapped)
    if records.entries and all(name.endswith('.npy') for name in records.entries):
        return {name.removesuffix('.npy'): _read_array(records.read(name)) for name in records.entries}
    found = records.names('data.pkl')
    if len(found) != 1:
        raise _Damaged('it is a zip archive without tensors: neither of torch.save, nor TorchScript or NumPy')
    folder = found[0].removesuffix('data.pkl')
    order = f'{folder}byteorder'
    if order in records.entries and records.read(order) != b'little':
        raise _Damaged('its numbers are big-endian; save it again on a little-endian machine')

    def load_storage(dtype: torch.dtype, key: str, count: int) -> bytearray | memoryview:
        data = records.place(f'{folder}data/{key}')
        if len(data) != count * dtype.itemsize:
            raise _Damaged(f'storage {key} has {len(data)} bytes instead of {count * dtype.itemsize}')
        return data

    try:
        content = InertUnpickler(io.BytesIO(records.read(found[0])), load_storage, size=size).load()
    except pickle.UnpicklingError as error:
        raise _reason(error) from error
    return _script_tensors(content) if f'{folder}constants.pkl' in records.entries else content


def _reason(error: pickle.UnpicklingError) -> Exception:
    """The error of a record, which the unpickler passes on as its cause."""
    return error.__cause__ if isinstance(error.__cause__, _Damaged) else error


def _script_tensors(module: Any) -> ScriptTensors:
    """The tensors among the attributes of a scripted module and of those inside of it."""
    if not isinstance(module, InertObject):
        raise _Damaged('it is a TorchScript archive without a module')
    tensors, todo, seen = ScriptTensors(), [('', module)], set[int]()
    while todo:
        prefix, node = todo.pop()
        if id(node) in seen:
            raise _Damaged(f'its module {prefix[:100]!r} stands in several places')
        seen.add(id(node))
        for name, value in (node.state if isinstance(node.state, dict) else {}).items():
            if isinstance(value, Tensor):
                tensors[f'{prefix}{name}'] = value
            elif isinstance(value, InertObject):
                todo.append((f'{prefix}{name}.', value))
    return tensors


def _read_array(data: bytearray) -> np.ndarray:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError) as error:
        raise _Damaged(f'an array in it is damaged or holds objects: {error}') from error
    if not isinstance(array, np.ndarray):
        raise _Damaged('an array in it is no array')
    return array


# ------------------------------------------------------------------------------------ the form of torch.save before 1.6


def _read_legacy(file: BinaryIO, size: int) -> Any:
    """Pickles of a magic number, a version, the machine, the content and the keys of storages, then their bytes."""

    def load(**options: Any) -> Any:
        return InertUnpickler(file, size=size, **options).load()

    storages: dict[str, tuple[bytearray, int]] = {}
    reserved = 0

    def load_storage(dtype: torch.dtype, key: str, count: int) -> bytearray:
        nonlocal reserved
        reserved += count * dtype.itemsize
        if reserved > size:
            raise _Damaged('it is incomplete or damaged: its tensors are larger than the file')
        storages[key] = bytearray(count * dtype.itemsize), count
        return storages[key][0]

    try:
        if not _is_number(load(), _LEGACY_MAGIC):
            raise _Damaged('it is a pickle that torch.save did not write')
        if not _is_number(load(), _LEGACY_VERSION):
            raise _Damaged('it was written by an unknown version of torch.save')
        load()
        content, keys = load(load_storage=load_storage), load()
    except pickle.UnpicklingError as error:
        raise _reason(error) from error
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise _Damaged('it is damaged: it lacks storages')
    for key in keys:
        data, count = storages[key]
        if int.from_bytes(file.read(8), 'little') != count or file.readinto(data) != len(data):
            raise _Damaged('it is incomplete or damaged: its tensors end too early')
    return content


def _is_number(value: Any, wanted: int) -> bool:
    return type(value) is int and value == wanted


# --------------------------------------------------------------------------------------------------------- state dicts


def find_state(content: Any, source: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict in what :func:`read_tensors` returns, without the prefix ``module.`` of wrappers for several GPUs.

    Args:
        content: a mapping of names to tensors or arrays, bare or under one of :data:`STATE_KEYS`.
        source: the file, for messages.

    Raises:
        CheckpointError: no such mapping, or an entry that is no tensor.
    """
    state = content
    for key in STATE_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            state = content[key]
            break
    if not isinstance(state, Mapping) or not any(isinstance(v, (Tensor, np.ndarray)) for v in state.values()):
        raise CheckpointError(
            f'{source} holds no state dict: expected a mapping of names to tensors, bare or under '
            f'{" or ".join(map(repr, STATE_KEYS))}, found {describe_content(content)}'
        )
    if state is content:  # options and counters may have been saved beside the tensors
        state = {name: value for name, value in state.items() if isinstance(value, (Tensor, np.ndarray))}
    return named_tensors(state, source)


def named_tensors(state: Mapping[Any, Any], source: str | os.PathLike) -> dict[str, Tensor]:
    """A state dict without the prefix ``module.``, arrays as tensors.

    Args:
        state: names to tensors or arrays.
        source: the file, for messages.

    Raises:
        CheckpointError: a name that is no text, or an entry that is no tensor.
    """
    tensors = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise CheckpointError(f'{source}: the state dict has the name {name!r}, which is no text')
        if isinstance(value, np.ndarray) and value.dtype.kind in 'biufc':
            value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder('=')))
        if not isinstance(value, Tensor):
            raise CheckpointError(f'{source}: {name!r} is no tensor but {describe_content(value)}')
        tensors[name.removeprefix('module.')] = value
    return tensors


def describe_content(content: Any) -> str:
    """What was found, in a few words."""
    if isinstance(content, InertObject):
        return f'an object of the class {content.origin}: save its state_dict() instead'
    if isinstance(content, Mapping):
        return f'a dictionary with {enumerate_names(map(repr, content))}' if content else 'an empty dictionary'
    return f'a {type(content).__name__}'


def non_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    return [name for name, t in state.items() if _may_be_nan(t) and not bool(t.isfinite().all())]


def _may_be_nan(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def require_finite(state: Mapping[str, Tensor], names: Iterable[str], source: str) -> None:
    """Raise if one of the named tensors holds NaN or infinity.

    Raises:
        CheckpointError: the message says how many and which.
    """
    broken = non_finite({name: state[name] for name in names})
    if broken:
        raise CheckpointError(
            f'{source}: {len(broken)} tensors hold NaN or infinity ({enumerate_names(broken, 5)}): the training that '
            'wrote it has failed; use an earlier checkpoint, and train with a lower learning rate'
        )
