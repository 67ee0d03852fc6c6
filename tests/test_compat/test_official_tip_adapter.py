"""Official caches of Tip-Adapter: fabricated in the real layout, converted by the tool, loaded, compared."""

import pickle

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import MICRO, ROOT, run_tool
from tools.model_converters import official as converter_tool
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.compat.official import convert
from vlprompt.errors import CheckpointError

NAMES = ['face', 'sea_lion', 'okapi']
K, SHOTS, D = 3, 2, MICRO['rn']['embed_dim']
N = K * SHOTS
LABELS = torch.tensor([2, 0, 1, 1, 0, 2])


@pytest.fixture
def cache(tmp_path, seeded):
    """A folder with the three files of the repository: fp16, keys (D, N), trained keys a parameter (N, D)."""
    folder = tmp_path / 'caches'
    folder.mkdir()
    torch.save(F.normalize(torch.randn(N, D), dim=1).t().half(), folder / 'keys_2shots.pt')
    torch.save(F.one_hot(LABELS, K).half(), folder / 'values_2shots.pt')
    torch.save(torch.nn.Parameter(torch.randn(N, D).half()), folder / 'best_F_2shots.pt')
    return folder


@pytest.fixture
def options(tmp_path):
    torch.save(to_openai_names(build_clip(arch=MICRO['rn']).state_dict()), tmp_path / 'base.pt')
    clip = dict(_delete_=True, arch=MICRO['rn'], weights=str(tmp_path / 'base.pt'))
    return {'model.clip': clip, 'model.class_names': NAMES}


@pytest.mark.parametrize('name', ['keys', 'best_F'])
@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_logits_are_those_of_the_formula(name, legacy, cache, options, tmp_path):
    keys = torch.load(cache / f'{name}_2shots.pt')
    if legacy:  # the form of torch.save before 1.6
        for file in cache.iterdir():
            torch.save(torch.load(file), file, _use_new_zipfile_serialization=False)
    run_tool(converter_tool.main, 'tip-adapter', cache / f'{name}_2shots.pt', tmp_path / 'ours.pth')
    config = ROOT / f'configs/tip_adapter/tip-adapter{"-f" if name == "best_F" else ""}_rn50.py'
    alpha, beta = 2.5, 1.5
    options |= {'model.solver.alpha': alpha, 'model.solver.beta': beta}
    model = init_model(config, tmp_path / 'ours.pth', options)
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        x = F.normalize(model.clip.encode_image(images).cls, dim=1)
        zero = model.scale * x @ model.text_features().t()
        keys = (keys if name == 'best_F' else keys.t()).detach().float()
        expected = zero + alpha * torch.exp(-beta * (1 - x @ keys.t())) @ F.one_hot(LABELS, K).float()
        assert (expected - zero).abs().max() > 0.01
        torch.testing.assert_close(model(images), expected)
    saved = model.trained_state_dict()
    assert saved['solver.alpha_'] == alpha, 'a checkpoint of it needs no config for alpha'


def test_a_folder_is_its_trained_keys_if_there_are_any(cache, tmp_path):
    for name in ('best_F', 'keys'):
        trained = torch.load(cache / f'{name}_2shots.pt').detach().float()
        run_tool(converter_tool.main, 'tip-adapter', cache, tmp_path / 'ours.pth')
        found = torch.load(tmp_path / 'ours.pth')['state_dict']['solver.keys']
        assert torch.equal(found, trained if name == 'best_F' else trained.t())
        (cache / f'{name}_2shots.pt').unlink()
    with pytest.raises(CheckpointError, match=r'caches holds no cache: give keys_<K>shots\.pt'):
        run_tool(converter_tool.main, 'tip-adapter', cache, tmp_path / 'ours.pth')
    for shots in (4, 16):
        torch.save(torch.zeros(D, N), cache / f'keys_{shots}shots.pt')
    with pytest.raises(CheckpointError, match='holds caches of 4, 16 shots: give the file'):
        run_tool(converter_tool.main, 'tip-adapter', cache, tmp_path / 'ours.pth')


class Harm:
    """What a pickle may do."""

    def __reduce__(self):
        return (pytest.fail, ('a foreign object was unpickled',))


@pytest.mark.parametrize('name', ['keys', 'values'])
def test_files_are_never_executed_and_named_if_they_are_no_tensors(name, cache, tmp_path):
    file = cache / f'{name}_2shots.pt'
    for content, message in (
        (dict(a=torch.zeros(1)), 'holds a dictionary'),
        ([torch.zeros(1)], 'holds a list, not a tensor'),
        (Harm(), 'cannot be read: a InertObject is called'),
    ):
        torch.save(content, file)
        with pytest.raises(CheckpointError, match=rf'{name}_2shots\.pt {message}'):
            run_tool(converter_tool.main, 'tip-adapter', cache / 'keys_2shots.pt', tmp_path / 'ours.pth')
    file.write_bytes(pickle.dumps(torch.zeros(2, 2).numpy()))
    with pytest.raises(CheckpointError, match=rf'{name}_2shots\.pt cannot be read: .*torch\.save did not write'):
        run_tool(converter_tool.main, 'tip-adapter', cache / 'keys_2shots.pt', tmp_path / 'ours.pth')
    file.unlink()
    with pytest.raises(FileNotFoundError, match=rf'cache .*{name}_2shots\.pt does not exist'):
        run_tool(converter_tool.main, 'tip-adapter', cache / 'keys_2shots.pt', tmp_path / 'ours.pth')


def test_other_files_of_the_repository(cache, tmp_path):
    for name in ('values_2shots.pt', 'test_f.pt'):
        with pytest.raises(CheckpointError, match=rf'{name}: tip-adapter reads keys_<K>shots\.pt, or best_F'):
            run_tool(converter_tool.main, 'tip-adapter', cache / name, tmp_path / 'ours.pth')


def test_tensors_that_are_no_cache():
    keys, values = torch.randn(D, N), F.one_hot(LABELS, K).half()
    for state, message in (
        (dict(keys=keys.t(), values=values), r'keys \(D, N\).* got \(6, 3\) and \(6, 24\)'),
        (dict(keys=keys[:, 1:], values=values), r'got \(6, 3\) and \(24, 5\)'),
        (dict(weight=keys, values=values), r'got \(6, 3\) and \(24, 6\)'),
        (dict(keys=keys.long(), values=values), r'keys are torch\.int64'),
        (dict(keys=keys, values=values * 2), 'values are not one-hot'),
        (dict(keys=keys, values=values.roll(1, 0) + values), 'values are not one-hot'),
        (dict(keys=keys * torch.inf, values=values), r'NaN or infinity \(keys\)'),
    ):
        with pytest.raises(ValueError, match=message):
            convert('tip-adapter', state)
    with pytest.raises(KeyError, match='no values'):
        convert('tip-adapter', dict(keys=keys))


def test_another_tower_other_classes_and_other_solvers(cache, options, tmp_path):
    run_tool(converter_tool.main, 'tip-adapter', cache / 'keys_2shots.pt', tmp_path / 'ours.pth')
    config = ROOT / 'configs/tip_adapter/tip-adapter_rn50.py'
    wide = {'model.clip': dict(_delete_=True, arch=dict(MICRO['rn'], embed_dim=32))}
    for other, message in (
        (wide, 'features of 24 numbers of 3 classes, the model has 32 and 3'),
        ({'model.class_names': NAMES[:2]}, 'features of 24 numbers of 3 classes, the model has 24 and 2'),
    ):
        with pytest.raises(CheckpointError, match=message):
            init_model(config, tmp_path / 'ours.pth', options | other)
    with pytest.raises(CheckpointError, match=r'holds no fitted GDA: it lacks solver\.weight'):
        init_model(ROOT / 'configs/gda/gda_rn50.py', tmp_path / 'ours.pth', options)
