import logging
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from tests.conftest import MICRO
from vlprompt.clip import CLIP
from vlprompt.engine import load_trained, read_checkpoint
from vlprompt.engine.checkpoint import describe_model, load_whole, trained_state
from vlprompt.engine.required import require_checkpoint
from vlprompt.engine.runner import PromptRunner
from vlprompt.engine.writing import to_plain_values, write_checkpoint
from vlprompt.errors import CheckpointError

BASE = SimpleNamespace(name='RN50 openai', sha256='a' * 64)
OTHER = SimpleNamespace(name='RN50 yfcc15m', sha256='b' * 64)


class Prompt(nn.Module):
    """The least a prompt model is: one trained tensor on a frozen base."""

    def __init__(self, base=BASE, class_names=('cat', 'dog'), n_ctx=4):
        super().__init__()
        self.clip = nn.Linear(2, 2)
        self.context = nn.Parameter(torch.randn(n_ctx, 3))
        self.base_source, self.class_names = base, class_names

    def trained_state_dict(self):
        return {'context': self.context}


def checkpoint_of(model, **changes):
    return dict(meta=dict(vlprompt=describe_model(model) | changes), state_dict=trained_state(model))


def test_round_trip_through_a_file(tmp_path):
    model, other = Prompt(), Prompt()
    write_checkpoint(checkpoint_of(model), tmp_path / 'a.pth')
    checkpoint = read_checkpoint(tmp_path / 'a.pth')
    assert set(checkpoint['state_dict']) == {'context'}
    assert checkpoint['meta']['vlprompt']['base'] == dict(name='RN50 openai', sha256='a' * 64)
    load_trained(other, checkpoint)
    assert torch.equal(model.context, other.context)


@pytest.mark.parametrize(
    ('theirs', 'ours', 'warned'),
    [('kk', 'native', True), ('kk', 'kk', False), (None, 'kk', False), (dict(attention='qq'), None, False)],
)
def test_other_local_features_are_named_but_not_refused(theirs, ours, warned, monkeypatch):
    said = []
    monkeypatch.setattr('vlprompt.engine.checkpoint.print_log', lambda text, *args, **kwargs: said.append(text))
    model, other = Prompt(), Prompt()
    model.local_form, other.local_form = theirs, ours
    load_trained(other, checkpoint_of(model))
    assert torch.equal(model.context, other.context)
    expected = "trained on local features of the form 'kk', the model has 'native': set model.clip.vision.local"
    assert [expected in text for text in said] == [True] * warned


def test_whole_models_must_fit_unless_they_are_trained_on(tmp_path):
    """A detector of mmdet, say, tested with a checkpoint of other classes would keep a random head."""
    model, same, other = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 4)
    path = tmp_path / 'a.pth'
    write_checkpoint(dict(meta={}, state_dict=trained_state(model)), path)
    load_whole(same, read_checkpoint(path))
    assert torch.equal(same.weight, model.weight)
    with pytest.raises(CheckpointError, match=r'does not fit Linear: [^$]*size mismatch for weight'):
        load_whole(other, read_checkpoint(path))
    load_whole(other, read_checkpoint(path), strict=False)

    runner = SimpleNamespace(bare_model=other, call_hook=lambda *_, **__: None, logger=logging.getLogger(), cfg={})
    runner._train_loop = dict(type='EpochBasedTrainLoop')  # not built: the run only tests
    with pytest.raises(CheckpointError, match='does not fit Linear'):
        PromptRunner.load_checkpoint(runner, str(path))
    runner._train_loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    PromptRunner.load_checkpoint(runner, str(path))


def test_a_slice_is_stored_without_the_rest_of_its_storage(tmp_path):
    model = Prompt()
    model.trained_state_dict = lambda: {'context': torch.zeros(1000, 1000)[:2]}
    write_checkpoint(dict(state_dict=trained_state(model)), tmp_path / 'a.pth')
    assert (tmp_path / 'a.pth').stat().st_size < 20_000


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (Prompt(base=OTHER), r'RN50 openai \(sha256 aaaaaaaaaaaa\).*RN50 yfcc15m \(sha256 bbbbbbbbbbbb\)'),
        (Prompt(base=None), r'RN50 openai .* random base weights'),
        (Prompt(class_names=('cat', 'fox')), r'only in the checkpoint: dog; only in the model: fox'),
        (Prompt(class_names=('dog', 'cat')), r"another order, first at class 0: 'cat' against 'dog'"),
        (Prompt(n_ctx=8), r'context has shape \(4, 3\), the model needs \(8, 3\)'),
    ],
)
def test_what_does_not_belong_together_is_refused(model, message):
    before = model.context.detach().clone()
    with pytest.raises(CheckpointError, match=message):
        load_trained(model, checkpoint_of(Prompt()))
    assert torch.equal(model.context, before)


def test_other_classes_on_request():
    load_trained(Prompt(class_names=('fox',)), checkpoint_of(Prompt()), other_classes=True)


def test_missing_and_unexpected_tensors_are_errors():
    foreign = checkpoint_of(Prompt(n_ctx=5))
    foreign['meta']['experiment_name'] = 'linear_rn50_20261122'
    with pytest.raises(CheckpointError, match=r'\(5, 3\).*\n  The checkpoint comes from the run linear_rn50_2026'):
        load_trained(Prompt(), foreign)
    with pytest.raises(CheckpointError, match=r"missing context \(4, 3\)\n.*unexpected contxt. Did you mean 'context'"):
        load_trained(Prompt(), dict(state_dict=dict(contxt=torch.zeros(4, 3))))
    with pytest.raises(CheckpointError, match='no "state_dict" in the checkpoint, which holds model'):
        load_trained(Prompt(), dict(model={}))


def test_a_converted_checkpoint_loads_without_a_description():
    model = Prompt()
    load_trained(model, dict(state_dict={'module.context': torch.ones(4, 3)}))
    assert torch.equal(model.context.detach(), torch.ones(4, 3))


class Scheduler:
    """What official repositories pickle beside their weights."""

    def __init__(self):
        self.last_epoch = 3


class Malicious:
    def __reduce__(self):
        return (exec, ("raise AssertionError('code of a checkpoint was run')",))


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_foreign_objects_are_read_without_running_them(tmp_path, zipped):
    content = dict(
        state_dict={'ctx': torch.arange(3.0).half(), 'p': nn.Parameter(torch.ones(1))},
        scheduler=Scheduler(),
        malicious=Malicious(),
        epoch=50,
    )
    torch.save(content, tmp_path / 'official.tar', _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(tmp_path / 'official.tar')
    assert torch.equal(checkpoint['state_dict']['ctx'], torch.arange(3.0).half())
    assert checkpoint['epoch'] == 50
    assert 'Scheduler, not loaded' in repr(checkpoint['scheduler'])
    assert 'exec, not loaded' in repr(checkpoint['malicious'])


def test_files_that_are_no_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_checkpoint(tmp_path / 'absent.pth')
    (tmp_path / 'broken.pth').write_bytes(b'not a checkpoint')
    with pytest.raises(CheckpointError, match=r'broken.pth cannot be read'):
        read_checkpoint(tmp_path / 'broken.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='holds a list'):
        read_checkpoint(tmp_path / 'list.pth')
    torch.jit.script(nn.Linear(1, 1)).save(str(tmp_path / 'RN50.pt'))
    with pytest.raises(CheckpointError, match=r'TorchScript archive.*model.clip.weights='):
        read_checkpoint(tmp_path / 'RN50.pt')


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.pth'
    write_checkpoint(dict(epoch=1), path)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        write_checkpoint(dict(epoch=2, bad=lambda: None), path)
    assert read_checkpoint(path) == dict(epoch=1)
    assert [p.name for p in tmp_path.iterdir()] == ['a.pth']


def test_plain_values_survive_weights_only_loading(tmp_path):
    value = dict(palette=np.zeros((2, 3)), names=('a', np.str_('b')), score=np.float32(1.5), path=tmp_path, n=None)
    write_checkpoint(to_plain_values(value), tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert loaded['names'] == ('a', 'b')
    assert (loaded['score'], loaded['path'], loaded['n']) == (1.5, str(tmp_path), None)
    assert loaded['palette'].shape == (2, 3)


class Towers(nn.Module):
    """A model with a frozen CLIP of two towers and one learned tensor, on random weights."""

    base_source = class_names = None

    def __init__(self, arch='RN50'):
        super().__init__()
        self.clip = nn.Module()
        self.clip.visual, self.clip.text = nn.Linear(2, 2), nn.Linear(2, 2)
        self.context = nn.Parameter(torch.randn(4, 3))
        self.clip.requires_grad_(False)

    def trained_state_dict(self):
        return self.state_dict()


def test_part_of_a_frozen_tower_is_an_error():
    """A converted file may hold no tower, or only one of the two; half a tower would leave the rest random."""
    converted = dict(meta=dict(vlprompt={}), state_dict={'context': torch.ones(4, 3)})
    model = Towers()
    load_trained(model, converted)
    assert torch.equal(model.context.detach(), torch.ones(4, 3))
    text = {f'clip.text.{name}': tensor for name, tensor in nn.Linear(2, 2).state_dict().items()}
    load_trained(model, dict(converted, state_dict=converted['state_dict'] | text))
    assert torch.equal(model.clip.text.weight, text['clip.text.weight'])
    del text['clip.text.bias']
    with pytest.raises(CheckpointError, match=r'\n  missing clip\.text\.bias \(2,\)'):
        load_trained(model, dict(converted, state_dict=converted['state_dict'] | text))


def test_other_architectures_are_named_before_the_list():
    class Model(nn.Module):
        base_source = class_names = None

        def __init__(self, arch):
            super().__init__()
            with torch.device('meta'):
                self.visual = CLIP(arch).visual

        def trained_state_dict(self):
            return self.state_dict()

    theirs, ours = Model('RN101'), Model('RN50')
    with pytest.raises(CheckpointError) as error:
        load_trained(ours, dict(state_dict=theirs.state_dict()))
    first, *problems, more = str(error.value).split('\n')
    assert first.endswith('it holds a ResNet-101, the config builds a ResNet-50')
    assert (len(problems), more) == (
        20,
        f'  and {len(set(theirs.state_dict()) - set(ours.state_dict())) - 20 + 2} more',
    )


def test_other_architectures_of_whole_models_are_named():
    theirs, ours = (nn.Sequential(CLIP(MICRO[form]).visual) for form in ('vit', 'rn'))
    with pytest.raises(CheckpointError, match=r'it holds a ViT with 2 blocks .*, the config builds a ResNet with'):
        load_whole(ours, dict(state_dict=theirs.state_dict()))


def test_checkpoints_that_are_not_finite_are_refused():
    model = Prompt()
    with torch.no_grad():
        model.context[0, 0] = torch.inf
    for load in (load_trained, load_whole):
        with pytest.raises(
            CheckpointError, match=r'1 tensors hold NaN or infinity \(context\): the training .* failed'
        ):
            load(Prompt(), checkpoint_of(model) if load is load_trained else dict(state_dict=model.state_dict()))
    model.unset_tensors = ('context',)
    load_trained(model, checkpoint_of(model))


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        ('text', 'meta is a str, not a dictionary'),
        (dict(vlprompt=[1]), r"meta\['vlprompt'\] is a list, not a dictionary"),
        (dict(vlprompt=dict(class_names=3)), r"\['class_names'\] is a int, not a list of names"),
        (dict(vlprompt=dict(class_names=[1])), r"a name in .*\['class_names'\] is no text"),
        (dict(vlprompt=dict(base='x')), r"\['base'\] is a str, not a dictionary with name and sha256"),
        (dict(vlprompt=dict(base=dict(name='x'))), r"\['base'\] must have name and sha256"),
        (dict(vlprompt=dict(geometry=3)), r"\['geometry'\] is a int"),
        (dict(vlprompt=dict(local=3)), r"\['local'\] is a int"),
    ],
)
def test_odd_descriptions_are_errors(tmp_path, meta, message):
    torch.save(dict(meta=meta, state_dict={'context': torch.zeros(4, 3)}), tmp_path / 'odd.pth')
    with pytest.raises(CheckpointError, match=rf'odd\.pth: .*{message}'):
        read_checkpoint(tmp_path / 'odd.pth')


def test_a_missing_checkpoint_names_those_of_its_folder(tmp_path):
    missing = rf'^checkpoint {tmp_path}/epoch_9\.pth does not exist \(working directory: .*\)'
    with pytest.raises(FileNotFoundError, match=missing + '$'):
        read_checkpoint(tmp_path / 'epoch_9.pth')
    (tmp_path / 'finetune').mkdir()
    (tmp_path / 'finetune' / 'epoch_2.pth').touch()
    (tmp_path / 'resume.pth').touch()
    with pytest.raises(FileNotFoundError, match=rf'{missing}; {tmp_path} holds finetune/epoch_2\.pth$'):
        read_checkpoint(tmp_path / 'epoch_9.pth')
    for epoch in range(1, 8):
        (tmp_path / f'epoch_{epoch}.pth').touch()
        os.utime(tmp_path / f'epoch_{epoch}.pth', (epoch, epoch))
    newest = r'epoch_7\.pth, epoch_6\.pth, epoch_5\.pth, epoch_4\.pth, epoch_3\.pth and 2 more'
    with pytest.raises(FileNotFoundError, match=f'{missing}; {tmp_path} holds {newest}$'):
        require_checkpoint(dict(load_from=str(tmp_path / 'epoch_9.pth')))
