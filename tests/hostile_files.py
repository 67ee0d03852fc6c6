"""Files that attack, or by accident resemble an attack on, what reads tensors; each is written by a function."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

FILES: dict[str, Callable[[Path, Path], None]] = {}
"""Name -> function that writes the file ``path``; if it were executed, it would create the file ``marker``."""


def hostile(function: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    FILES[function.__name__] = function
    return function


def archive(path: Path, content: bytes, records: dict[str, bytes] | None = None, **options: int) -> None:
    """A zip archive in the form of ``torch.save`` around a pickle."""
    with zipfile.ZipFile(path, 'w', **options) as file:
        file.writestr('archive/data.pkl', content)
        for name, data in (records or {}).items():
            file.writestr(f'archive/{name}', data)
        file.writestr('archive/version', b'3\n')


def text(value: str) -> bytes:
    """The opcodes that push a text."""
    return b'X' + struct.pack('<I', len(value.encode())) + value.encode()


def dump(entries: bytes) -> bytes:
    """A pickle of ``{'state_dict': {'a': <entries>}}``."""
    return b'\x80\x02}' + text('state_dict') + b'}' + text('a') + entries + b'ss.'


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """The opcodes that call a function."""
    return b'c' + f'{module}\n{name}\n'.encode() + b'(' + b''.join(arguments) + b'tR'


def storage(kind: str = 'FloatStorage', key: str = '0', count: int = 4) -> bytes:
    number = b'\x8a\x08' + struct.pack('<q', count)
    return b'(' + text('storage') + f'ctorch\n{kind}\n'.encode() + text(key) + text('cpu') + number + b'tQ'


def number(value: int) -> bytes:
    return b'\x8a\x08' + struct.pack('<q', value)


def numbers(*values: int) -> bytes:
    return b'(' + b''.join(map(number, values)) + b't'


def tensor(source: bytes, offset: int, size: tuple, stride: tuple) -> bytes:
    hooks = call('collections', 'OrderedDict')
    return call(
        'torch._utils', '_rebuild_tensor_v2', source, number(offset), numbers(*size), numbers(*stride), b'\x89', hooks
    )


class Reduce:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.value = function, arguments

    def __reduce__(self):
        return self.value


def touch(marker: Path) -> str:
    return f'touch {marker}'


# ------------------------------------------------------------------------------------------------------- foreign calls


@hostile
def system_in_zip(path, marker):
    torch.save({'state_dict': {'a': Reduce(os.system, touch(marker))}}, path)


@hostile
def system_in_legacy(path, marker):
    torch.save({'state_dict': {'a': Reduce(os.system, touch(marker))}}, path, _use_new_zipfile_serialization=False)


@hostile
def exec_in_bare_pickle(path, marker):
    path.write_bytes(pickle.dumps(Reduce(exec, f'open({str(marker)!r}, "w")')))


@hostile
def exec_in_place_of_the_magic_number(path, marker):
    path.write_bytes(pickle.dumps(Reduce(exec, f'open({str(marker)!r}, "w")')) * 5)


@hostile
def text_pickle(path, marker):
    path.write_bytes(f'cos\nsystem\n(S"{touch(marker)}"\ntR.'.encode())


@hostile
def instance_opcode(path, marker):
    archive(path, dump(b'(' + text(touch(marker)) + b'ios\nsystem\n'))


@hostile
def object_opcode(path, marker):
    archive(path, dump(b'(cos\nsystem\n' + text(touch(marker)) + b'o'))


@hostile
def dotted_stack_global(path, marker):
    content = b'\x80\x04' + text('torch') + text('serialization.os.system') + b'\x93' + text(touch(marker)) + b'\x85R.'
    archive(path, content)


@hostile
def extension_registry(path, marker):
    archive(path, dump(b'\x82\x01' + text(touch(marker)) + b'\x85R'))


@hostile
def getattr_of_an_allowed_name(path, marker):
    module = call('builtins', 'getattr', b'ctorch\nSize\n', text('__init__'))
    archive(path, dump(module + text(touch(marker)) + b'\x85R'))


@hostile
def torch_load_inside(path, marker):
    torch.save({'state_dict': {'a': Reduce(torch.load, str(marker))}}, path)


@hostile
def storage_from_bytes(path, marker):
    inner = io.BytesIO()
    torch.save(Reduce(os.system, touch(marker)), inner)
    content = b'B' + struct.pack('<I', len(inner.getvalue())) + inner.getvalue()
    archive(path, dump(call('torch.storage', '_load_from_bytes', content)))


@hostile
def torchscript_setstate(path, marker):
    class Evil(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.zeros(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

        @torch.jit.export
        def __getstate__(self) -> tuple[torch.Tensor, bool]:
            return self.a, self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
            self.a = state[0]
            self.training = state[1]
            torch.save(torch.ones(3), 'MARKER')

    torch.jit.script(Evil()).save(str(path))
    content = {}
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            content[info.filename] = file.read(info)
    with zipfile.ZipFile(path, 'w') as file:
        for name, data in content.items():
            file.writestr(name, data.replace(b'MARKER', str(marker).encode()))


# -------------------------------------------------------------------------------------------------------------- memory


@hostile
def object_array_of_addresses(path, marker):
    kind = call('numpy', 'dtype', text('O8'), b'\x89', b'\x88')
    array = call('numpy', 'ndarray', numbers(1), kind, b'C\x08AAAAAAAA')
    archive(path, dump(call('builtins', 'list', array)))


@hostile
def object_array_as_state(path, marker):
    kind = call('numpy', 'dtype', text('O8'), b'\x89', b'\x88')
    array = call('numpy.core.multiarray', '_reconstruct', b'cnumpy\nndarray\n', numbers(0), b'C\x01b')
    state = b'(K\x01' + numbers(1) + kind + b'\x89C\x08AAAAAAAAt'
    archive(path, dump(array + state + b'b'))


@hostile
def type_with_forged_flags(path, marker):
    kind = call('numpy', 'dtype', text('f8'), b'\x89', b'\x88')
    kind += b'(K\x03' + text('<') + b'NN' + text('O8') + number(8) + number(8) + number(63) + b'tb'
    array = call('numpy.core.multiarray', '_reconstruct', b'cnumpy\nndarray\n', numbers(0), b'C\x01b')
    archive(path, dump(array + b'(K\x01' + numbers(4) + kind + b'\x89C\x08AAAAAAAAtb'))


@hostile
def scalar_of_objects(path, marker):
    kind = call('numpy', 'dtype', text('O8'), b'\x89', b'\x88')
    archive(path, dump(call('numpy.core.multiarray', 'scalar', kind, b'C\x08AAAAAAAA')))


@hostile
def array_larger_than_its_bytes(path, marker):
    kind = call('numpy', 'dtype', text('f4'), b'\x89', b'\x88')
    array = call('numpy.core.multiarray', '_reconstruct', b'cnumpy\nndarray\n', numbers(0), b'C\x01b')
    archive(path, dump(array + b'(K\x01' + numbers(2**40) + kind + b'\x89C\x08AAAAAAAAtb'))


@hostile
def tensor_beyond_its_storage(path, marker):
    archive(path, dump(tensor(storage(), 0, (1000,), (1000,))), {'data/0': bytes(16)})


@hostile
def tensor_in_front_of_its_storage(path, marker):
    archive(path, dump(tensor(storage(), -4, (2,), (-1,))), {'data/0': bytes(16)})


@hostile
def tensor_that_repeats_itself(path, marker):
    archive(path, dump(tensor(storage(), 0, (2**40,), (0,))), {'data/0': bytes(16)})


@hostile
def storage_of_another_size(path, marker):
    archive(path, dump(tensor(storage(count=2**40), 0, (2**40,), (1,))), {'data/0': bytes(16)})


@hostile
def storage_of_two_types(path, marker):
    second = tensor(storage('DoubleStorage', count=4), 0, (4,), (1,))
    archive(path, dump(tensor(storage(), 0, (4,), (1,)) + b's' + text('b') + second), {'data/0': bytes(16)})


@hostile
def storage_outside_of_the_archive(path, marker):
    archive(path, dump(tensor(storage(key='../../../etc/passwd'), 0, (4,), (1,))))


@hostile
def legacy_storage_of_terabytes(path, marker):
    torch.save({'state_dict': {'a': torch.zeros(2)}}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b'K\x02N', b'\x8a\x06\0\0\0\0\0\x40N'))


@hostile
def memo_of_four_billion(path, marker):
    archive(path, b'\x80\x02}r\xf0\xff\xff\xff.')


@hostile
def bytearray_of_terabytes(path, marker):
    archive(path, b'\x80\x05\x96' + struct.pack('<Q', 2**40) + b'.')


@hostile
def text_of_terabytes(path, marker):
    archive(path, b'\x80\x04\x8d' + struct.pack('<Q', 2**40) + b'.')


@hostile
def compressed_record(path, marker):
    archive(path, b'}.' + bytes(2**22), compression=zipfile.ZIP_DEFLATED)


@hostile
def nested_key(path, marker):
    archive(path, b'\x80\x02}' + b')' + b'\x85' * 300_000 + b'K\x01s.')


@hostile
def nested_list(path, marker):
    archive(path, dump(b']' * 200_000 + b'a' * 199_999))


@hostile
def number_of_a_million_digits(path, marker):
    archive(path, b'\x80\x02}L' + b'9' * 1_000_000 + b'L\nK\x01s.')


@hostile
def safetensors_with_a_huge_header(path, marker):
    path.write_bytes(struct.pack('<Q', 2**40) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}')


@hostile
def safetensors_beyond_the_end(path, marker):
    header = b'{"a":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}}    '
    path.write_bytes(struct.pack('<Q', len(header)) + header + bytes(16))


@hostile
def npz_of_objects(path, marker):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([Reduce(os.system, touch(marker))], dtype=object))
    path.write_bytes(buffer.getvalue())


# --------------------------------------------------------------------------------------------------- accidents, devices


@hostile
def pointer_of_git_lfs(path, marker):
    path.write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')


@hostile
def web_page(path, marker):
    path.write_bytes(b'\n<!DOCTYPE html><html></html>')


@hostile
def plain_text(path, marker):
    path.write_bytes(b'just a text')


@hostile
def empty(path, marker):
    path.write_bytes(b'')


@hostile
def zeros(path, marker):
    path.write_bytes(bytes(5000))


@hostile
def compressed_with_gzip(path, marker):
    path.write_bytes(gzip.compress(b'weights'))


@hostile
def pipe(path, marker):
    os.mkfifo(path)


@hostile
def folder(path, marker):
    path.mkdir()


@hostile
def endless_device(path, marker):
    path.symlink_to('/dev/zero')


@hostile
def loop_of_links(path, marker):
    path.symlink_to(path)


@hostile
def zip_of_something_else(path, marker):
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('readme.txt', 'hello')


@hostile
def module_instead_of_a_state_dict(path, marker):
    torch.save(nn.Linear(2, 2), path)


@hostile
def names_that_are_no_text(path, marker):
    torch.save({'state_dict': {1: torch.zeros(2)}}, path)


@hostile
def text_among_tensors(path, marker):
    torch.save({'state_dict': {'a': torch.zeros(2), 'b': 'text'}}, path)


@hostile
def not_a_number(path, marker):
    torch.save({'state_dict': {'a': torch.tensor([1.0, torch.nan])}}, path)


@hostile
def meta_that_is_text(path, marker):
    torch.save({'state_dict': {'a': torch.zeros(2)}, 'meta': 'text'}, path)


@hostile
def class_names_that_are_a_number(path, marker):
    torch.save({'state_dict': {'a': torch.zeros(2)}, 'meta': {'vlprompt': {'class_names': 3}}}, path)
