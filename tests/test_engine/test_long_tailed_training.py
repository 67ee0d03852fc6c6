"""Both phases of LPT on a few coloured images: what hooks tell the model, what is handed over, saved and resumed."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from tests.conftest import ROOT, leave_unformatted
from tests.interruption import Interrupted, SignallingHook
from tests.two_processes import in_two_processes
from vlprompt.apis import init_model, runs
from vlprompt.engine import load_config
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.hooks import resuming
from vlprompt.engine.hooks.prompt_usage import usage_statistics
from vlprompt.engine.hooks.start_from_features import choose_per_class
from vlprompt.engine.phases import phase_configs, train_phases
from vlprompt.errors import CheckpointError, ConfigError, Stopped

COUNTS = (6, 3, 2)
CONFIG = """
_base_ = [
    '{configs}/_base_/models/lpt_vit-b16-in21k.py',
    '{configs}/_base_/schedules/lpt_40e.py',
    '{configs}/_base_/default_runtime_long_tailed.py',
]
dataset, data_root = 'list', '{root}'
pipeline = [dict(type='vlprompt.LoadImage'), dict(type='vlprompt.RandomHorizontalFlip'),
            dict(type='vlprompt.PackClassification')]
test_pipeline = [dict(type='vlprompt.LoadImage'), dict(type='vlprompt.PackClassification')]
model = dict(
    timm=dict(_delete_=True, arch=dict(width=32, layers=3, heads=2, patch_size=16, image_size=32),
              weights='{root}/trunk.pth'),
    data_preprocessor=dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    tuner=dict(prompt=dict(length=2)),
)
phases = dict(groups=dict(model=dict(tuner=dict(pool=dict(size=4, length=2, first_block=1)))))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    sampler=dict(_delete_=True, type='vlprompt.ClassAwareSampler', samples_per_class=2),
    batch_sampler=dict(type='vlprompt.DualStreamBatchSampler'),
    dataset=dict(pipeline=pipeline),
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline)
)
train_cfg = dict(max_epochs=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp('long_tailed')
    rng = np.random.default_rng(0)
    for split, counts in (('train', COUNTS), ('test', (2, 2, 2))):
        lines = []
        for label, count in enumerate(counts):
            for number in range(count):
                image = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
                image[..., label] += 150
                path = root / f'{split}_{label}_{number}.png'
                Image.fromarray(image).save(path)
                lines.append(f'{path.name} {label}')
        (root / f'{split}.txt').write_text('\n'.join(lines))
    (root / 'classnames.txt').write_text('red\ngreen\nblue\n')
    torch.manual_seed(0)
    trunk = VisionTransformer(img_size=32, patch_size=16, embed_dim=32, depth=3, num_heads=2, num_classes=0)
    torch.save(trunk.state_dict(), root / 'trunk.pth')
    (root / 'lpt.py').write_text(CONFIG.format(configs=ROOT / 'configs', root=root))
    return root


def configs(project, work_dir, **options):
    cfg = load_config(project / 'lpt.py', {key.replace('__', '.'): value for key, value in options.items()})
    cfg.work_dir = str(work_dir)
    result = phase_configs(cfg)
    for single in result.values():
        single.log_level = 'WARNING'
        leave_unformatted(single)
    return result


def state(path):
    return read_checkpoint(path)['state_dict']


@pytest.mark.slow
def test_two_phases_in_one_go(project, tmp_path):
    runner = train_phases(configs(project, tmp_path))
    first, second = state(tmp_path / 'shared/epoch_2.pth'), state(tmp_path / 'groups/epoch_2.pth')
    assert set(first) == {'tuner.prompt.tokens', 'head.weight'}
    assert set(second) == {'tuner.prompt.tokens', 'head.weight', 'tuner.pool.tokens', 'tuner.pool.keys'}
    assert (tmp_path / 'groups/epoch_2.pth').stat().st_size < 60_000
    assert torch.equal(first['tuner.prompt.tokens'], second['tuner.prompt.tokens']), 'frozen in phase 2'
    assert not torch.equal(first['head.weight'], second['head.weight'])
    model = runner.bare_model
    assert model.loss_cls.balanced.counts.tolist() == list(COUNTS)
    assert model.loss_cls.uniform.counts.tolist() == list(COUNTS)
    assert model.loss_cls.weight.item() == pytest.approx(0.25), 'of the second of two epochs'
    assert model.class_names == ('red', 'green', 'blue')
    metrics = runs.run_test(runner)
    assert 2 <= metrics['lpt/keys_used'] <= 4
    assert 0.49 < metrics['lpt/key_entropy'] <= 1
    assert 'shot/overall' in metrics
    assert runner.message_hub.get_scalar('test/lpt/keys_used').current() == metrics['lpt/keys_used'], 'in the log too'
    steps = [json.loads(line) for line in next((tmp_path / 'groups').glob('*/vis_data/scalars.json')).open()]
    assert len(steps) == 6
    assert all(2 <= step['keys_used'] <= 4 and 0 < step['key_entropy'] <= 1 for step in steps)
    shared = init_model(project / 'lpt.py', tmp_path / 'shared/epoch_2.pth')
    assert not hasattr(shared.tuner, 'pool'), 'the phase of the checkpoint'
    assert len(init_model(project / 'lpt.py', tmp_path / 'groups/epoch_2.pth').tuner.pool.keys) == 4
    with pytest.raises(CheckpointError, match=r'tuner.pool.tokens'):
        init_model(project / 'lpt.py', tmp_path / 'shared/epoch_2.pth', phase='groups')


@pytest.mark.slow
def test_two_processes_train_as_one(project, tmp_path):
    """Without noise and dropout: weights and logged numbers to 1e-5, and the test of five images, each counted once;
    also with prompts and heads shared out over the processes.
    """

    def run(name, processes):
        options = {
            'model__head__dropout': 0.0,
            'model__loss__balanced__noise': 0.0,
            'model__loss__uniform__noise': 0.0,
            'phases__groups__model__tuner__pool__key_init': 'kmeans',
            'train_dataloader__batch_size': 4 // processes,
        }
        made = configs(project, tmp_path / name, **options)
        for single in made.values():
            single.launcher = 'none' if processes == 1 else 'pytorch'
            single.strategy = 'fsdp' if name == 'shared' else 'ddp'
            single.experiment_name = f'{name} {single.phase}'
        return runs.run_test(train_phases(made), tmp_path / name)

    lists = project / 'test.txt'
    content = lists.read_text()
    lists.write_text('\n'.join(content.splitlines()[:5]))
    try:
        expected = run('one', 1)
        assert {'lpt/keys_used', 'lpt/key_entropy', 'shot/overall'} <= set(expected)
        for both in in_two_processes(lambda: [run('two', 2), run('shared', 2)], tmp_path):
            assert both == [pytest.approx(expected, abs=1e-5)] * 2
    finally:
        lists.write_text(content)
    names = ('loss', 'accuracy', 'accuracy_uniform', 'keys_used', 'key_entropy', 'stream_weight')
    for phase in ('shared', 'groups'):
        one, two, shared = (state(tmp_path / name / phase / 'epoch_2.pth') for name in ('one', 'two', 'shared'))
        torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(shared, one, rtol=1e-5, atol=1e-5)
        logs = [next((tmp_path / name / phase).glob('*/vis_data/scalars.json')) for name in ('one', 'two', 'shared')]
        ours, *others = ([json.loads(line) for line in log.open() if '"loss"' in line] for log in logs)
        assert len(ours) == 6
        for theirs in others:
            for first, second in zip(ours, theirs, strict=True):
                for name in set(names) & set(first):
                    assert second[name] == pytest.approx(first[name], rel=1e-4), name


def test_mistakes_in_phase_2_stop_phase_1(project, tmp_path):
    with pytest.raises(ConfigError, match=r"phase 'groups': .*topk=5 must be from 1 to size=4"):
        train_phases(configs(project, tmp_path, phases__groups__model__tuner__pool__topk=5))
    with pytest.raises(ConfigError, match=r"phase 'groups': .*first_block=3 must be from 0 to 2"):
        train_phases(configs(project, tmp_path, phases__groups__model__tuner__pool__first_block=3))
    assert not list((tmp_path / 'shared').glob('*.pth')), 'nothing has been trained'
    with pytest.raises(ConfigError, match=r'set phases\.groups\.model\.tuner\.pool\.topk instead'):
        configs(project, tmp_path, model__tuner__pool=dict(topk=3))


@pytest.mark.slow
def test_phase_2_resumes_where_it_was(project, tmp_path):
    """Bit for bit, with keys that started from k-means: neither those nor the noise depend on the interruption."""
    options = {
        'phases__groups__model__tuner__pool__key_init': 'kmeans',
        'phases__groups__model__tuner__pool__center': True,
    }
    train_phases(configs(project, tmp_path / 'whole', **options))
    first, second = configs(project, tmp_path / 'parts', **options).values()
    train_phases(dict(shared=first))
    second.custom_hooks = [dict(type='vlprompt.InterruptingHook', epoch=1)]
    with pytest.raises(Interrupted):
        train_phases(dict(groups=second))
    train_phases(configs(project, tmp_path / 'parts', resume=True, **options))
    whole, parts = (state(tmp_path / name / 'groups/epoch_2.pth') for name in ('whole', 'parts'))
    assert 'tuner.pool.mean_query' in whole
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
def test_usage_of_both_processes_survives_a_stop_within_an_epoch(project, tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, 'AGREEMENT', 1)  # otherwise these epochs stop at their end
    train_phases(dict(shared=configs(project, tmp_path)['shared']))

    def run(name, resume=False, interrupt=False):
        pool = {f'phases__groups__model__tuner__pool__{key}': value for key, value in dict(center=True, topk=1).items()}
        cfg = configs(project, tmp_path, resume=resume, train_dataloader__batch_size=2, **pool)['groups']
        cfg.work_dir, cfg.launcher, cfg.experiment_name = str(tmp_path / name), 'pytorch', f'{name} {resume}'
        runner = runs.build_runner(cfg)
        if interrupt:
            runner.register_hook(SignallingHook(iteration=4, rank=1))
            with pytest.raises(Stopped):
                runner.train()
        else:
            runner.train()

    for number, arguments in enumerate(
        (dict(name='whole'), dict(name='parts', interrupt=True), dict(name='parts', resume=True))
    ):
        (tmp_path / f'{number}').mkdir()
        in_two_processes(lambda arguments=arguments: run(**arguments), tmp_path / f'{number}')
    usages = []
    for name in ('whole', 'parts'):
        logs = sorted((tmp_path / name).glob('*/vis_data/scalars.json'))
        lines = [json.loads(line) for log in logs for line in log.open()]
        usages.append([(line['step'], line['keys_used'], line['key_entropy']) for line in lines if 'loss' in line])
    assert [step for step, *_ in usages[0]] == [1, 2, 3, 4, 5, 6]
    assert usages[1] == usages[0]
    whole, parts = (
        read_checkpoint(tmp_path / name / 'resume.pth')['message_hub']['runtime_info']['prompt_usage']
        for name in ('whole', 'parts')
    )
    assert torch.equal(whole, parts)
    assert whole.sum() == 2 * 3 * 4, 'processes, steps and images of both streams'


def test_keys_and_centre_from_the_training_images(project, tmp_path):
    pool = {
        'phases__groups__model__tuner__pool__key_init': 'kmeans',
        'phases__groups__model__tuner__pool__center': True,
    }
    cfg = configs(project, tmp_path, **pool, phases__groups__train_cfg=dict(max_epochs=1))
    cfg['groups'].start_from = None
    cfg['groups'].optim_wrapper.optimizer.lr = cfg['groups'].param_scheduler.warmup_lr = 0.0
    runner = runs.build_runner(cfg['groups'])
    runner.train()
    pool = runner.bare_model.tuner.pool
    with torch.no_grad():
        queries = runner.bare_model.frozen_features(_all_images(runner))
    torch.testing.assert_close(pool.mean_query, queries.mean(0), rtol=1e-4, atol=1e-5)
    cosine = (
        torch.nn.functional.normalize(queries - pool.mean_query, dim=1)
        @ torch.nn.functional.normalize(pool.keys, dim=1).t()
    )
    assert set(cosine.argmax(1).tolist()) == {0, 1, 2, 3}, 'every key is the centre of some images'


def _all_images(runner):
    import copy

    from vlprompt.registry import DATASETS

    cfg = copy.deepcopy(runner.cfg.train_dataloader.dataset)
    cfg.pipeline = runner.cfg.test_dataloader.dataset.pipeline
    dataset = DATASETS.build(cfg)
    batch = dict(inputs=[dataset[i]['inputs'] for i in range(len(dataset))])
    return runner.bare_model.data_preprocessor(batch)['inputs']


@pytest.mark.slow
def test_head_from_class_means(project, tmp_path):
    shared, groups = configs(project, tmp_path, model__head__start='class_mean').values()
    for cfg in (shared, groups):
        cfg.train_cfg.max_epochs = 1
        cfg.optim_wrapper.optimizer.lr = cfg.param_scheduler.warmup_lr = 0.0
    runner = train_phases(dict(shared=shared))
    model = runner.bare_model
    with torch.no_grad():
        features = model.frozen_features(_all_images(runner))
    means = torch.stack([part.mean(0) for part in features.split(COUNTS)])
    torch.testing.assert_close(model.head.weight.detach(), torch.nn.functional.normalize(means, dim=1))
    with torch.no_grad():
        model.head.weight.neg_()  # as if training had moved it
    runner.save_checkpoint(shared.work_dir, 'epoch_1.pth')
    after = train_phases(dict(groups=groups)).bare_model
    torch.testing.assert_close(after.head.weight, model.head.weight, msg='what phase 1 learned is not computed anew')


def test_usage_statistics():
    assert usage_statistics(torch.tensor([5.0, 5, 5, 5])) == dict(keys_used=4.0, key_entropy=pytest.approx(1))
    assert usage_statistics(torch.tensor([5.0, 5, 0, 0])) == dict(keys_used=2.0, key_entropy=pytest.approx(0.5))
    assert usage_statistics(torch.zeros(4))['keys_used'] == 0


def test_few_images_of_every_class_are_chosen():
    labels = np.array([0] * 50 + [1] * 3)
    chosen = choose_per_class(labels, 5, seed=1)
    assert [int((labels[chosen] == label).sum()) for label in (0, 1)] == [5, 3]
    assert chosen == sorted(chosen) == choose_per_class(labels, 5, seed=1)
    assert chosen != choose_per_class(labels, 5, seed=2)
