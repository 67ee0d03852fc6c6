"""The reader of tensors: every form, damage of any kind, and hostile files in processes that may not crash."""

from __future__ import annotations

import io
import os
import pickle
import random
import resource
import signal
import traceback
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.hostile_files import FILES
from vlprompt.apis import GalleryIndex
from vlprompt.apis.command_line import user_message
from vlprompt.clip import build_clip
from vlprompt.clip.tensor_files import ScriptTensors, find_state, read_tensors
from vlprompt.compat.official import convert
from vlprompt.engine.checkpoint import load_trained, read_checkpoint
from vlprompt.engine.features import FeatureStore
from vlprompt.engine.start_from import hand_over
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError


class Tiny(nn.Module):
    """A model that would accept ``{'a': (2,)}``."""

    base_source = class_names = None

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.zeros(2))

    def trained_state_dict(self):
        return self.state_dict()


def stored_features(path):
    store = FeatureStore(path.parent, {})
    store.path = path
    if store.read(3) is not None:
        raise AssertionError('features were read from it')
    raise CheckpointError('computed again')


def stored_index(path):
    folder = Path(f'{path}.index')
    folder.mkdir()
    (folder / 'gallery.json').write_text('{"format": "vlprompt-gallery", "format_version": 1, "names": ["a"]}')
    (folder / 'gallery.safetensors').symlink_to(path)
    GalleryIndex.load(folder)


READERS = dict(
    weights=lambda path: build_clip(weights=path),
    checkpoint=lambda path: load_trained(Tiny(), read_checkpoint(path)),
    hand_over=lambda path: hand_over(Tiny(), ['a'], path),
    converter=lambda path: convert('coop', read_checkpoint(path)),
    features=stored_features,
    index=stored_index,
)


def in_a_child(function, path, seconds=20, memory=2**29) -> str:
    """What the tools would print about an error of ``function(path)``, from a forked process that may crash."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer = 'no error'
        signal.alarm(seconds)
        used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory,) * 2)
        try:
            function(path)
        except Exception as error:
            answer = user_message(error) if isinstance(error, (ValueError, OSError)) else None
            answer = answer or (str(error.args[0]) if isinstance(error, KeyError) else None)
            answer = answer or 'TRACEBACK ' + ''.join(traceback.format_exception(error)[-3:])
        finally:
            os.write(writable, answer.encode(errors='replace')[:60_000])
            os._exit(0)
    os.close(writable)
    with open(readable, 'rb') as pipe:
        answer = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return answer if status == 0 else f'CRASH {status}'


@pytest.mark.parametrize('name', FILES)
@pytest.mark.filterwarnings('ignore')
def test_hostile_files_end_with_our_message(name, tmp_path):
    path, marker = tmp_path / 'file.pth', tmp_path / 'executed'
    FILES[name](path, marker)
    answers = {reader: in_a_child(function, path) for reader, function in READERS.items()}
    assert not marker.exists()
    for reader, answer in answers.items():
        assert not answer.startswith(('CRASH', 'TRACEBACK', 'no error')), (reader, answer)
        assert 'weights_only' not in answer
        if reader in ('weights', 'index'):
            assert 'file.pth' in answer, (reader, answer)


def test_there_are_at_least_thirty():
    assert len(FILES) >= 30


CONTENT = dict(
    state_dict=OrderedDict(
        half=torch.arange(6).half().reshape(2, 3).t(),
        bf=torch.ones(2, dtype=torch.bfloat16),
        flag=torch.tensor([True, False]),
        number=torch.tensor(3),
        nothing=torch.zeros(0, 4),
        parameter=nn.Parameter(torch.ones(2)),
        complex=torch.ones(2, dtype=torch.complex64),
    ),
    epoch=3,
    names=('a', 'ü'),
    array=np.arange(6, dtype='>i4').reshape(2, 3, order='F'),
    share=np.float32(0.5),
    size=torch.Size((2, 3)),
    words={'a', 'b'},
)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('protocol', [2, 4])
def test_everything_plain_survives(tmp_path, zipped, protocol):
    path = tmp_path / 'a.pth'
    torch.save(CONTENT, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    read, plain = read_tensors(path), torch.load(path, weights_only=False)
    for name, value in plain['state_dict'].items():
        ours = read['state_dict'][name]
        assert (ours.dtype, ours.shape, ours.stride()) == (value.dtype, value.shape, value.stride()), name
        assert torch.equal(ours, value.data), name
        assert not ours.requires_grad
    assert (read['epoch'], read['names'], read['share'], read['size'], read['words']) == (
        3,
        ('a', 'ü'),
        0.5,
        (2, 3),
        {'a', 'b'},
    )
    assert (read['array'] == CONTENT['array']).all()


def test_tensors_of_one_storage_share_it(tmp_path):
    base = torch.arange(10.0)
    torch.save({'a': base[2:5], 'b': base}, tmp_path / 'a.pth')
    read = read_tensors(tmp_path / 'a.pth')
    read['b'][2] = 100
    assert read['a'][0] == 100


def test_mapped_tensors_are_those_of_the_file(tmp_path):
    path = tmp_path / 'a.pth'
    base = torch.arange(10.0)
    torch.save(CONTENT | dict(part=base[2:5], whole=base), path)
    read, plain = read_tensors(path, mapped=True), read_tensors(path)
    for name, value in plain['state_dict'].items():
        assert torch.equal(read['state_dict'][name], value), name
    assert str(path) in Path('/proc/self/maps').read_text()
    read['whole'][2] = 100
    assert read['part'][0] == 100
    assert read_tensors(path)['part'][0] == 2, 'what is written stays in memory'


def test_damage_of_mapped_tensors_is_found(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.arange(1000)), path)
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(500, 510).numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'a\.pth cannot be read: .* in it is incomplete or damaged'):
        read_tensors(path, mapped=True)


def test_versions_of_modules_are_kept(tmp_path):
    state = nn.BatchNorm1d(2).state_dict()
    torch.save(state, tmp_path / 'a.pth')
    assert read_tensors(tmp_path / 'a.pth')._metadata == state._metadata


@pytest.mark.filterwarnings('ignore')
def test_torchscript_and_safetensors(tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.BatchNorm1d(2))).half()
    module.register_buffer('size', torch.tensor(224))
    torch.jit.script(module).save(str(tmp_path / 'a.pt'))
    read = read_tensors(tmp_path / 'a.pt')
    assert isinstance(read, ScriptTensors)
    expected = module.state_dict()
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in expected.items())
    save_file(dict(expected), tmp_path / 'named_by_no_suffix')
    read = read_tensors(tmp_path / 'named_by_no_suffix')
    assert all(torch.equal(read[name], value) for name, value in expected.items())


def test_arrays_of_numpy(tmp_path):
    np.savez(tmp_path / 'a.npz', x=np.arange(3), names=np.array(['a', 'b']))
    read = read_tensors(tmp_path / 'a.npz')
    assert (read['x'] == [0, 1, 2]).all()
    assert read['names'].tolist() == ['a', 'b']


@pytest.mark.parametrize(('zipped', 'mapped'), [(True, False), (True, True), (False, False)])
def test_truncation_at_any_length(tmp_path, zipped, mapped):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'a': torch.arange(50.0)}, 'epoch': 1}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for length in range(0, len(content), 1 if len(content) < 3000 else 7):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r'a\.pth'):
            read_tensors(path, mapped=mapped)


def test_flipped_bytes_never_change_a_tensor(tmp_path):
    path = tmp_path / 'a.pth'
    original = dict(state_dict={'a': torch.randn(200), 'b': torch.arange(30)}, meta=dict(epoch=3, text='abc'))
    write_checkpoint(original, path)
    content, rng, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(content)
        for position in rng.sample(range(len(content)), 3):
            damaged[position] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            read = read_checkpoint(path)
        except CheckpointError as error:
            refused += str(path) in str(error)
        else:  # bytes that hold nothing, such as padding
            assert all(torch.equal(read['state_dict'][name], original['state_dict'][name]) for name in 'ab')
            assert read['meta'] == original['meta']
    assert refused > 150


def test_state_dicts_under_several_names():
    state = {'module.a': torch.zeros(2), 'module.b': np.arange(2)}
    for content in (state, dict(state_dict=state, epoch=3), dict(model=state), dict(state, epoch=3)):
        found = find_state(content, 'x.pth')
        assert found.keys() == {'a', 'b'}
        assert found['b'].tolist() == [0, 1]
    with pytest.raises(CheckpointError, match=r"x\.pth holds no state dict: .*a dictionary with 'epoch'"):
        find_state(dict(epoch=3), 'x.pth')


def test_inert_pickles_of_python_2():
    from vlprompt.clip.inert_pickle import InertUnpickler

    content = (
        b"}(S'data'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
    )
    content += b"(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x01\\xff'\ntbS'name'\nS'a'\nu."
    read = InertUnpickler(io.BytesIO(content), encoding='latin1').load()
    assert read['data'].tolist() == [1, 255]
    assert read['name'] == 'a'
    with pytest.raises(pickle.UnpicklingError):
        InertUnpickler(io.BytesIO(b'(('), encoding='latin1').load()
