"""Files that attack, or by accident resemble an attack on, what reads tensors; each is written by a function."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import pickletools
import struct
import zipfile
import zlib
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
    return b'(' + text('storage') + f'ctorch\n{kind}\n'.encode() + text(key) + text('cpu') + number(count) + b'tQ'


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


def shared(depth: int, leaf: bytes) -> bytes:
    """The opcodes that push a pair of the same pair of the same pair ..., 2^depth leaves in few bytes."""
    out = leaf
    for level in range(depth):
        out += b'q' + bytes([level]) + b'0h' + bytes([level]) + b'h' + bytes([level]) + b'\x86'
    return out


def module(attributes: bytes) -> bytes:
    return b'c__torch__\nM\n)\x81' + attributes


@hostile
def quantized_storage(path, marker):
    archive(path, dump(tensor(storage('quint8'), 0, (4,), (1,))), {'data/0': bytes(4)})


@hostile
def storage_of_bits(path, marker):
    archive(path, dump(tensor(storage('bits8'), 0, (4,), (1,))), {'data/0': bytes(4)})


@hostile
def import_of_a_part_of_torch(path, marker):
    archive(path, dump(b'ctorch\n_inductor\n'))


@hostile
def laughs_as_a_device(path, marker):
    archive(path, dump(call('torch', 'device', shared(28, text('x' * 8)))))


@hostile
def laughs_as_a_size(path, marker):
    archive(path, dump(call('torch', 'Size', b'(' + shared(28, text('x' * 8)) + b't')))


@hostile
def laughs_as_a_type(path, marker):
    archive(path, dump(call('numpy', 'dtype', shared(28, text('x' * 8)))))


@hostile
def laughs_that_are_called(path, marker):
    archive(path, dump(shared(28, text('x' * 8)) + b')R'))


@hostile
def text_that_is_encoded_again_and_again(path, marker):
    again = b''.join(b'c_codecs\nencode\nh\xff\x85Ra' for _ in range(3000))
    archive(path, dump(text('x' * 1_000_000) + b'q\xff0]' + again))


@hostile
def array_that_is_swapped_again_and_again(path, marker):
    data = b'B' + struct.pack('<I', 1_000_000) + bytes(1_000_000) + b'q\x000'
    swapped = b'(K\x03' + text('>') + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'
    kind = call('numpy', 'dtype', text('f4'), b'\x89', b'\x88') + swapped + b'q\x010'
    array = call('numpy.core.multiarray', '_reconstruct', b'cnumpy\nndarray\n', numbers(0), b'C\x01b')
    one = array + b'(K\x01' + numbers(250_000) + b'h\x01\x89h\x00tba'
    archive(path, dump(data + kind + b']' + one * 3000))


@hostile
def array_that_is_filled_twice(path, marker):
    kind = call('numpy', 'dtype', text('f4'), b'\x89', b'\x88') + b'q\x01'
    array = call('numpy.core.multiarray', '_reconstruct', b'cnumpy\nndarray\n', numbers(0), b'C\x01b')
    data = b'B' + struct.pack('<I', 900) + b'A' * 900
    body = kind + b'0' + array + b'q\x02(K\x01' + numbers(225) + b'h\x01\x89' + data + b'tb'
    archive(path, dump(body + b'\x98h\x02(K\x01' + numbers(1) + b'h\x01\x89C\x04BBBBtb0'))


@hostile
def lists_deeper_than_they_look(path, marker):
    out = b']r\x00\x00\x00\x000'
    for level in range(1, 5000):
        out += b'](j' + struct.pack('<I', level - 1) + b'er' + struct.pack('<I', level) + b'0'
    archive(path, dump(out + b'](' + b''.join(b'j' + struct.pack('<I', n) for n in reversed(range(5000))) + b'e'))


@hostile
def meta_that_holds_itself(path, marker):
    archive(path, b'\x80\x02}' + text('meta') + b'}q\x00' + text('vlprompt') + b'h\x00ss.')


@hostile
def torchscript_that_holds_itself(path, marker):
    archive(path, module(b'q\x00}' + text('a') + b'h\x00sb.'), {'constants.pkl': b''})


@hostile
def torchscript_of_shared_modules(path, marker):
    out = module(b'}b')
    for level in range(40):
        twice = b'h' + bytes([level]) + b's' + text('b') + b'h' + bytes([level])
        out += b'q' + bytes([level]) + b'0' + module(b'}' + text('a') + twice + b'sb')
    archive(path, out + b'.', {'constants.pkl': b''})


@hostile
def torchscript_without_a_module(path, marker):
    archive(path, b'}.', {'constants.pkl': b''})


@hostile
def records_inside_of_each_other(path, marker):
    data, entries, names = bytes(1_000_000), [], [f'archive/data/{i}' for i in range(200)]

    def head(name: str, content: bytes) -> bytes:
        sizes = zlib.crc32(content), len(content), len(content), len(name), 0
        return struct.pack('<IHHHHHIIIHH', 0x04034B50, 20, 0, 0, 0, 0, *sizes) + name.encode()

    for name in reversed(names):
        entries.append((name, zlib.crc32(data), len(data), len(head(name, data))))
        data = head(name, data) + data
    tensors = b''.join(
        text(name) + tensor(storage('ByteStorage', name.rsplit('/', 1)[1], size), 0, (1,), (1,)) + b's'
        for name, _, size, _ in entries
    )
    content = b'\x80\x02}' + text('state_dict') + b'}' + tensors + b's.'
    out = head('archive/data.pkl', content) + content
    places, offset = {}, len(out)
    for name, _, _, length in reversed(entries):
        places[name], offset = offset, offset + length
    out += data
    directory = b''
    listed = [('archive/data.pkl', zlib.crc32(content), len(content), 0)]
    for name, crc, size, place in listed + [(n, crc, size, places[n]) for n, crc, size, _ in entries]:
        sizes = crc, size, size, len(name), 0, 0, 0, 0, 0, place
        directory += struct.pack('<IHHHHHHIIIHHHHHII', 0x02014B50, 20, 20, 0, 0, 0, 0, *sizes) + name.encode()
    count = len(names) + 1
    path.write_bytes(
        out + directory + struct.pack('<IHHHHIIH', 0x06054B50, 0, 0, count, count, len(directory), len(out), 0)
    )


@hostile
def legacy_keys_that_are_numbers(path, marker):
    torch.save({'state_dict': {'a': torch.zeros(2)}}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    stream = io.BytesIO(content)
    for _ in range(4):
        list(pickletools.genops(stream))
    start = stream.tell()
    (key,) = pickle.load(stream)
    path.write_bytes(content[:start] + pickle.dumps([int(key)], 2) + content[stream.tell() :])


@hostile
def legacy_with_an_array_in_place_of_a_number(path, marker):
    path.write_bytes(pickle.dumps(np.zeros(3), 2) * 5)


def header(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('features.npy', b'\x93NUMPY\x01\x00' + struct.pack('<H', len(content)) + content)


@hostile
def npz_with_an_endless_header(path, marker):
    header(path, b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L,), \n(((( \n")


@hostile
def npz_with_an_odd_header(path, marker):
    header(path, b'{[1]: 2}\n')


@hostile
def npz_with_a_header_of_signs(path, marker):
    header(path, b'-' * 9000 + b'1\n')


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
