"""Steps over whole epochs, and the runs of CLIP-LoRA and 2SFS on a tiny project, resumed and tested."""

from collections import Counter
from itertools import chain

import pytest
import torch
from torch.utils.data import DataLoader

from tests.conftest import MICRO
from tests.interruption import Interrupted, InterruptingHook
from tests.tiny_project import CONFIGS, TinyProject
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.engine import read_checkpoint

ARCH = dict(MICRO['vit'], image_size=32)
CONFIG = """
_base_ = '{configs}/{method}.py'
dataset, shots = 'folder', {shots}
data_root, image_size = '{root}/data', 32
clip = dict(_delete_=True, arch={arch}, weights='{root}/vit.pt', quick_gelu=True{clip})
model = dict(clip=clip)
train_dataloader = dict(batch_size=5, num_workers=0)
test_dataloader = dict(batch_size=6, num_workers=0)
{more}
"""
LORA = 'train_cfg = dict(max_iters=7)\noptim_wrapper = dict(optimizer=dict(lr=0.02))'
TWO_STAGE = (
    'phases = dict(norms=dict(train_cfg=dict(max_iters=4)), classifier=dict(train_cfg=dict(max_iters=3)))\n'
    'optim_wrapper = dict(optimizer=dict(lr=0.02))'
)


@pytest.fixture(scope='module')
def vit(project):
    """Config files of the shipped methods on micro towers, with 12 images in batches of 5, 5 and 2."""
    torch.manual_seed(0)
    torch.save(to_openai_names(build_clip(arch=ARCH).state_dict()), project.root / 'vit.pt')
    shared = dict(configs=CONFIGS, root=project.root, arch=ARCH, shots=4)
    for name, method, clip, more in (
        ('lora', 'clip_lora/clip-lora_vit-b16', ', lora={}', LORA),
        ('two_stage', 'two_stage/2sfs_vit-b16', '', TWO_STAGE),
    ):
        text = CONFIG.format(method=method, more=more, clip=clip, **shared)
        (project.root / f'{name}.py').write_text(text)
    return project.root


def run(vit, work_dir, name='lora.py', **options):
    return TinyProject(vit, name).run(work_dir, **options)


def images_of(runner):
    """For every step, the indices in the training set, and their epoch."""
    steps = []
    load = runner.train_dataloader.dataset.load_sample
    order = []
    runner.train_dataloader.dataset.load_sample = lambda index: order.append(index) or load(index)

    class Watch(InterruptingHook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            steps.append(order.copy())
            order.clear()

    runner.register_hook(Watch())
    return steps


@pytest.fixture(scope='module')
def whole(vit, tmp_path_factory):
    """Work directory of an uninterrupted run, and the images of its steps."""
    work_dir = tmp_path_factory.mktemp('whole')
    runner = run(vit, work_dir)
    steps = images_of(runner)
    runner.train()
    return work_dir, steps


def state(work_dir, step=7):
    return read_checkpoint(work_dir / f'iter_{step}.pth')['state_dict']


def test_epochs_follow_each_other_with_their_last_batch(whole):
    _, steps = whole
    assert [len(step) for step in steps] == [5, 5, 2, 5, 5, 2, 5]
    epochs = [list(chain(*part)) for part in (steps[:3], steps[3:6])]
    assert [Counter(epoch) for epoch in epochs] == [Counter(range(12))] * 2
    assert epochs[0] != epochs[1]


def test_a_checkpoint_holds_the_branches_alone(whole, vit):
    checkpoint = read_checkpoint(whole[0] / 'iter_7.pth')
    assert len(checkpoint['state_dict']) == 2 * 2 * 3 * 2
    assert all('.lora.' in name for name in checkpoint['state_dict'])
    assert any(tensor.any() for name, tensor in checkpoint['state_dict'].items() if name.endswith('.B'))
    model = init_model(vit / 'lora.py', whole[0] / 'iter_7.pth')
    torch.manual_seed(1)
    first = model(torch.ones(2, 3, 32, 32), mode='tensor')
    assert torch.equal(model(torch.ones(2, 3, 32, 32), mode='tensor'), first), 'no dropout in a test'
    torch.save(to_openai_names(build_clip(arch=ARCH).state_dict()), vit / 'other.pt')
    with pytest.raises(ValueError, match=r'was trained on file:vit\.pt'):
        init_model(vit / 'lora.py', whole[0] / 'iter_7.pth', {'model.clip.weights': str(vit / 'other.pt')})


@pytest.mark.parametrize('iteration', [3, 4])
def test_resuming_is_bit_identical(whole, vit, work_dir, iteration):
    """At the end of an epoch, and within one: order, augmentation, dropout, rates and moments go on."""
    first = run(vit, work_dir, default_hooks__checkpoint__interval=1)
    first.register_hook(InterruptingHook(iteration=iteration))
    with pytest.raises(Interrupted):
        first.train()
    second = run(vit, work_dir, resume=True)
    steps = images_of(second)
    second.train()
    assert steps == whole[1][iteration:]
    for name, tensor in state(whole[0]).items():
        assert torch.equal(state(work_dir)[name], tensor), name


def test_nothing_is_loaded_that_is_not_trained_on(vit, work_dir, monkeypatch):
    """Workers that start with the loop would read batches that a resumed run leaves out."""
    started = []
    begin = DataLoader.__iter__
    monkeypatch.setattr(
        DataLoader, '__iter__', lambda loader: started.append(list(loader.batch_sampler)) or begin(loader)
    )
    runner = run(vit, work_dir)
    loop = runner.build_train_loop(runner._train_loop)
    assert started == []
    loop.dataloader_iterator.skip_iter(4)
    assert [len(batch) for batch in started[0]] == [5, 2], 'batches 5 and 6, the rest of the second epoch'
    for _ in range(2):
        next(loop.dataloader_iterator)
    assert len(started) == 1


def test_an_endless_sampler_is_refused(vit, work_dir):
    runner = run(vit, work_dir, train_dataloader__sampler=dict(_delete_=True, type='vlprompt.InfiniteEpochSampler'))
    with pytest.raises(TypeError, match=r"sampler=dict\(type='vlprompt.EpochSampler'\), got"):
        runner.train()


def test_two_stages(vit, work_dir):
    """Norms, then a classifier that starts from the text of the tuned tower; all of it is in the last checkpoint."""
    runner = run(vit, work_dir, 'two_stage.py')
    runner.train()
    norms = read_checkpoint(work_dir / 'norms/iter_4.pth')['state_dict']
    assert len(norms) == 2 * 2 * 4 + 6
    last = read_checkpoint(work_dir / 'classifier/iter_3.pth')['state_dict']
    assert set(last) == {*norms, 'prompt.weight', 'prompt.known'}
    assert all(torch.equal(last[name], tensor) for name, tensor in norms.items())
    tuned = init_model(vit / 'two_stage.py', work_dir / 'norms/iter_4.pth')
    model = init_model(vit / 'two_stage.py', work_dir / 'classifier/iter_3.pth')
    with torch.no_grad():
        text = tuned.text_features()[0]
        start = torch.nn.functional.normalize(text, dim=-1)
        moved = (model.text_features()[0] - start).abs().max()
        assert 0 < moved < 0.1, 'three steps away from the text features'
        model.set_class_names(['boat', 'okapi'])
        features = model.text_features()[0]
        assert torch.equal(features[0], last['prompt.weight'][1])
        tuned.set_class_names(['boat', 'okapi'])
        other = torch.nn.functional.normalize(tuned.text_features()[0, 1], dim=-1)
        torch.testing.assert_close(features[1], other)


def test_without_a_step_two_stages_are_zero_shot(vit):
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        scores = [init_model(vit / 'two_stage.py', phase=p).logits(images) for p in ('norms', 'classifier')]
    torch.testing.assert_close(*scores)
