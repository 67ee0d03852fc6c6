"""The runner on a real classifier with micro towers: what is stored, and that resuming is exact."""

import random
import shutil

import numpy as np
import pytest
import torch

from tests.interruption import Interrupted, InterruptingHook
from tests.tiny_project import CLASSES, CONFIGS
from vlprompt.apis import init_model
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.engine import load_config, read_checkpoint
from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.engine.hooks.iteration_seed import seed_everything
from vlprompt.engine.resume_state import resume_file
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError, ConfigError


def context(work_dir, epoch=4):
    return read_checkpoint(work_dir / f'epoch_{epoch}.pth')['state_dict']['prompt.context']


@pytest.fixture(scope='module')
def finished(project, tmp_path_factory):
    """Work directory of an uninterrupted run of four epochs."""
    work_dir = tmp_path_factory.mktemp('finished')
    project.run(work_dir, default_hooks__checkpoint__max_keep_ckpts=-1).train()
    return work_dir


def test_checkpoints_hold_what_was_trained_and_what_it_belongs_to(finished, project):
    assert sorted(p.name for p in finished.glob('*.pth')) == [*(f'epoch_{e}.pth' for e in (1, 2, 3, 4)), RESUME_FILE]
    checkpoint = torch.load(finished / 'epoch_4.pth', weights_only=True)
    assert set(checkpoint) == {'meta', 'state_dict'}
    assert {name: tuple(t.shape) for name, t in checkpoint['state_dict'].items()} == {'prompt.context': (2, 4, 32)}
    about = checkpoint['meta']['vlprompt']
    assert about['class_names'] == list(CLASSES)
    assert about['trained_keys'] == ['prompt.context']
    assert len(about['base']['sha256']) == 64
    assert 'n_ctx=4' in checkpoint['meta']['cfg']
    assert (finished / 'epoch_4.pth').stat().st_size < 2 * 4 * 32 * 4 + 20_000


def test_the_checkpoint_of_plot_stays_below_200_kilobytes(finished, tmp_path):
    """4 x 16 x 512 context numbers, all of ImageNet's class names and the description of a real run."""
    checkpoint = read_checkpoint(finished / 'epoch_4.pth')
    assert 'classes' not in checkpoint['meta']['dataset_meta'], 'the names are stored once'
    checkpoint['meta']['vlprompt']['class_names'] = resolve_class_names('imagenet')
    checkpoint['meta']['cfg'] = load_config(CONFIGS / 'plot' / 'plot_rn50.py').pretty_text
    checkpoint['state_dict'] = {'prompt.context': torch.randn(4, 16, 512)}
    write_checkpoint(checkpoint, tmp_path / 'plot.pth')
    assert 4 * 16 * 512 * 4 < (tmp_path / 'plot.pth').stat().st_size < 200_000


def test_the_log_file_takes_names_of_any_bytes(project, tmp_path):
    runner = project.run(tmp_path)
    runner.logger.warning('image M\udce4rz Käfer 甲虫.png')
    (log,) = tmp_path.glob('*/*.log')
    assert 'image M\\udce4rz Käfer 甲虫.png' in log.read_text(encoding='utf-8')


def test_training_moved_the_context_and_nothing_else(finished, project, tmp_path):
    runner = project.run(tmp_path, load_from=str(finished / 'epoch_4.pth'))
    frozen = {n: p.clone() for n, p in runner.model.named_parameters() if not p.requires_grad}
    metrics = runner.test()
    assert torch.equal(runner.model.prompt.context.detach(), context(finished))
    assert not torch.equal(context(finished, 1), context(finished, 4))
    assert all(torch.equal(p, frozen[n]) for n, p in runner.model.named_parameters() if n in frozen)
    assert 0 <= metrics['accuracy/top1'] <= 100


@pytest.mark.parametrize('tested', [False, True])
def test_a_training_starts_from_what_is_loaded_also_after_a_test(finished, project, work_dir, monkeypatch, tested):
    runner = project.run(work_dir, load_from=str(finished / 'epoch_4.pth'), optim_wrapper__optimizer__lr=0.0)
    model = runner.model
    monkeypatch.setattr(model, 'init_weights', lambda: torch.nn.init.zeros_(model.prompt.context))
    if tested:
        runner.test()
    runner.train()
    assert torch.allclose(model.prompt.context.detach(), context(finished), atol=1e-2)  # a schedule begins above 0


def test_resuming_is_bit_identical(finished, project, work_dir):
    first = project.run(work_dir)
    first.register_hook(InterruptingHook(epoch=2))
    with pytest.raises(Interrupted):
        first.train()
    assert not (work_dir / 'epoch_3.pth').exists()
    second = project.run(work_dir, resume=True)
    second.train()
    assert second.iter == 12
    assert torch.equal(context(work_dir), context(finished))


def test_validation_in_between_changes_nothing(finished, project, work_dir):
    cfg = load_config(project.config)
    project.run(
        work_dir,
        val_cfg={},
        val_dataloader=cfg.test_dataloader,
        val_evaluator=cfg.test_evaluator,
        default_hooks__checkpoint__save_best='accuracy/top1',
    ).train()
    assert torch.equal(context(work_dir), context(finished))
    (best,) = work_dir.glob('best_*.pth')
    assert set(read_checkpoint(best)) == {'meta', 'state_dict'}


def test_a_run_can_be_resumed_to_go_on_longer(finished, project, work_dir):
    project.run(work_dir, train_cfg__max_epochs=2).train()
    project.run(work_dir, resume=True).train()
    assert torch.equal(context(work_dir), context(finished))


def test_only_the_newest_checkpoint_can_be_resumed(finished, project, work_dir):
    assert resume_file(finished) == resume_file(finished / 'epoch_4.pth') == str(finished / RESUME_FILE)
    with pytest.raises(CheckpointError, match=r'resume from \S*finished0; or start a new run'):
        resume_file(finished / 'epoch_2.pth')
    with pytest.raises(FileNotFoundError, match='nothing to resume'):
        resume_file(work_dir.parent)
    with pytest.raises(CheckpointError, match='resume with --seed 1'):
        project.run(work_dir, resume=True, load_from=str(finished), randomness__seed=2).train()


def test_other_base_weights_are_refused(finished, project, work_dir):
    other = project.root / 'other.pt'
    state = torch.load(project.root / 'base.pt', weights_only=True)
    torch.save(state | {'logit_scale': state['logit_scale'] + 1}, other)
    runner = project.run(work_dir, load_from=str(finished / 'epoch_4.pth'), model__clip__weights=str(other))
    with pytest.raises(CheckpointError, match=r'base.*but the model was built on .*other'):
        runner.test()


def test_other_classes_are_refused_unless_asked_for(finished, project, work_dir, tmp_path):
    shutil.copytree(project.root / 'data' / 'test', tmp_path / 'other' / 'test')
    (tmp_path / 'other' / 'test' / 'apple').rename(tmp_path / 'other' / 'test' / 'dog')
    names = ['boat', 'cup', 'dog']
    options = dict(load_from=str(finished / 'epoch_4.pth'), model__class_names=names, train_cfg=None)
    with pytest.raises(ConfigError, match=r"class 0 is 'boat' in the model but 'apple' in the data"):
        project.run(work_dir, **options).test()
    options['test_dataloader__dataset__data_root'] = str(tmp_path / 'other')
    refusal = r'only in the checkpoint: apple; only in the model: dog.*other_classes=True'
    with pytest.raises(CheckpointError, match=refusal):
        project.run(work_dir, **options).test()
    project.run(work_dir, other_classes=True, **options).test()

    options = {'model.class_names': names}
    with pytest.raises(CheckpointError, match=refusal):
        init_model(project.config, finished / 'epoch_4.pth', options)
    model = init_model(project.config, finished / 'epoch_4.pth', options | {'other_classes': True})
    assert model.class_names == tuple(names)
    assert torch.equal(model.prompt.context.detach(), context(finished))


def test_mixed_precision_trains(project, work_dir):
    project.run(work_dir, optim_wrapper__type='vlprompt.AutocastOptimWrapper', train_cfg__max_epochs=1).train()
    assert torch.isfinite(context(work_dir, 1)).all()


def draws():
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_an_iteration_draws_the_same_whatever_came_before():
    seed_everything(1, iteration=5, rank=0, stream=1)
    first = draws()
    draws()
    seed_everything(1, iteration=5, rank=0, stream=1)
    assert draws() == first
    for arguments in ((2, 5, 0, 1), (1, 6, 0, 1), (1, 5, 1, 1), (1, 5, 0, 0)):
        seed_everything(*arguments)
        assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize('loop', ['val', 'test'])
def test_a_loader_that_leaves_images_out_of_the_metrics_is_an_error(project, work_dir, loop):
    loaders = dict(val_dataloader=load_config(project.config).test_dataloader, val_evaluator=dict(type='Accuracy'))
    options = {f'{loop}_cfg': {}, f'{loop}_dataloader__drop_last': True}
    with pytest.raises(ConfigError, match=rf'^{loop}_dataloader.drop_last=True leaves the last images out'):
        project.run(work_dir, **loaders, **options)


def test_options_that_torch_refuses_name_the_loader(project, work_dir):
    sampler = dict(type='vlprompt.DropRaggedBatchSampler')
    with pytest.raises(ConfigError, match=r'^train_dataloader: .*batch_sampler'):
        project.run(work_dir, train_dataloader__batch_sampler=sampler, train_dataloader__drop_last=True)


def test_loops_without_their_parts_are_errors(project, work_dir):
    with pytest.raises(ConfigError, match=r'^val_cfg is set, but val_dataloader is missing: write it into the config'):
        project.run(work_dir, val_cfg={})
