"""Trainings whose parameters are shared out over two processes, against plain data-parallel ones; one goes on as the
other; what cannot be shared out is refused.
"""

import json

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from tests.conftest import MICRO
from tests.interruption import Interrupted
from tests.tiny_project import TinyFit, TinyProject
from tests.two_processes import in_two_processes
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.engine import read_checkpoint
from vlprompt.engine.fsdp import share_optimizer
from vlprompt.engine.sharded import let_go, own_rows
from vlprompt.errors import ConfigError, NonFiniteError

ARCH = dict(MICRO['vit'], image_size=32, transformer_layers=2)
ADAM = dict(type='AdamW', lr=1e-3, weight_decay=0.01, _delete_=True)
PLAIN = dict(type='SGD', lr=0.1, _delete_=True)
COMMON = dict(
    train_dataloader__batch_size=2,
    train_cfg__max_epochs=2,
    optim_wrapper__clip_grad=dict(max_norm=0.5),
    log_processor__window_size=1,
    param_scheduler=None,
    launcher='pytorch',
)
LORA = dict(rank=2, alpha=1, targets=['q', 'v', 'fc'], towers=['visual', 'text'], dropout=0.0)
METHODS = dict(
    whole=dict(
        model__trainable=['*'],  # with the logit scale, a scalar
        env_cfg__channels_last=True,  # as on a GPU
        model__visual=dict(type='vlprompt.VisualPrompt', length=2, depth=2),
        model__alignment=dict(type='vlprompt.TransportAlignment', _delete_=True),
        optim_wrapper__paramwise_cfg=dict(custom_keys={'clip.': dict(lr_mult=0.1)}, norm_decay_mult=0.0),
        optim_wrapper__accumulative_counts=2,
        optim_wrapper__optimizer=ADAM,
    ),
    biases=dict(
        model__trainable=['clip.*bias'],
        model__prompt=dict(type='vlprompt.TemplatePrompt', _delete_=True),
        custom_hooks=[dict(type='vlprompt.GaussianAveragingHook', mean=1, std=1)],
        optim_wrapper__optimizer=PLAIN,
    ),
    branches=dict(
        model__trainable=['clip.*.lora.*'],
        model__clip__lora=LORA,
        model__clip__vision=dict(local='naclip'),  # whose last block is run layer by layer
        model__alignment=dict(type='vlprompt.TransportAlignment', _delete_=True),
        optim_wrapper__optimizer=PLAIN,
    ),
    half=dict(
        model__trainable=['clip.visual.*', 'prompt.context'],
        optim_wrapper__type='vlprompt.AutocastOptimWrapper',
        optim_wrapper__optimizer=PLAIN,
    ),
    weights=dict(
        model__trainable=['prompt.weight'],
        model__prompt=dict(type='vlprompt.ClassWeights', _delete_=True),
        optim_wrapper__optimizer=PLAIN,
    ),
)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """The tiny experiment on a ViT; three images of a class are left for the test, nine in all."""
    made = TinyProject.create(tmp_path_factory.mktemp('fsdp'))
    torch.manual_seed(0)
    torch.save(to_openai_names(build_clip(arch=ARCH).state_dict()), made.root / 'vit.pt')
    for path in made.root.glob('data/test/*/0.png'):
        path.unlink()
    return made


def train(project, folder, **options):
    runner = project.run(folder, model__clip__arch=dict(ARCH, _delete_=True), **COMMON | options)
    runner.train()
    return runner


def of_vit(project, **options):
    return dict(model__clip__weights=str(project.root / 'vit.pt')) | options


def losses(folder):
    """Loss and, where it is clipped, norm of the gradient of every step."""
    lines = [json.loads(line) for log in sorted(folder.glob('*/vis_data/scalars.json')) for line in log.open()]
    return [(line['loss'], line.get('grad_norm', 0.0)) for line in lines if 'loss' in line]


def held(runner):
    """Trained numbers that this process holds, with the states of the optimizer."""
    let_go(runner.bare_model)
    trained = [p for group in runner.optim_wrapper.param_groups for p in group['params']]
    states = [value for state in runner.optim_wrapper.optimizer.state.values() for value in state.values()]
    return sum(own_rows(tensor).numel() for tensor in (*trained, *states) if tensor is not None)


def assert_same_files(one, other):
    """Checkpoint and state to resume from: names, shapes, dtypes, and values to 1e-5."""
    for name in ('epoch_2.pth', 'resume.pth'):
        ours, theirs = read_checkpoint(one / name), read_checkpoint(other / name)
        assert list(ours) == list(theirs)
        assert list(ours['state_dict']) == list(theirs['state_dict'])
        assert ours['meta']['vlprompt'] == theirs['meta']['vlprompt']
        for part in ('state_dict', 'optimizer'):
            if part in ours:
                torch.testing.assert_close(theirs[part], ours[part], rtol=1e-5, atol=1e-5)
    assert all(type(tensor) is torch.Tensor for tensor in theirs['state_dict'].values())


@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_as_plain_data_parallel_training(project, tmp_path, method):
    """Two epochs of six steps: losses, norms, files, tests; then the test of a single process."""
    options = of_vit(project, **METHODS[method])

    def member():
        found = {}
        for strategy in ('ddp', 'fsdp'):
            runner = train(project, tmp_path / strategy, strategy=strategy, **options)
            found[strategy] = runner.test(), held(runner)
        return found

    for found in in_two_processes(member, tmp_path):
        assert found['fsdp'][0] == found['ddp'][0]
        whole, share = found['ddp'][1], found['fsdp'][1]
        assert share == whole if method == 'weights' else share < 0.51 * whole
    assert losses(tmp_path / 'fsdp') == [pytest.approx(step, rel=1e-5) for step in losses(tmp_path / 'ddp')]
    assert len(losses(tmp_path / 'fsdp')) > 2
    assert_same_files(tmp_path / 'ddp', tmp_path / 'fsdp')
    alone = project.run(
        tmp_path / 'alone',
        **options | dict(model__clip__arch=dict(ARCH, _delete_=True), load_from=str(tmp_path / 'fsdp/epoch_2.pth')),
    )
    assert alone.test() == found['ddp'][0]


@pytest.mark.slow
def test_a_run_goes_on_under_the_other_strategy(project, tmp_path):
    """From the end of an epoch, with moments of the optimizer and a gradient that waits for the next update."""
    options = of_vit(project, **METHODS['whole'])

    def member():
        train(project, tmp_path / 'whole', **options)
        for first, second in (('ddp', 'fsdp'), ('fsdp', 'ddp')):
            stopped = dict(custom_hooks=[dict(type='vlprompt.InterruptingHook', epoch=1)])
            with pytest.raises(Interrupted):
                train(project, tmp_path / second, strategy=first, **options | stopped)
            train(project, tmp_path / second, strategy=second, resume=True, **options)

    in_two_processes(member, tmp_path)
    expected = losses(tmp_path / 'whole')
    for second in ('fsdp', 'ddp'):
        assert losses(tmp_path / second) == [pytest.approx(step, rel=1e-5) for step in expected]
        assert_same_files(tmp_path / 'whole', tmp_path / second)


class Poison(Hook):
    """Break one row of what the second process holds."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        parameter = runner.optim_wrapper.param_groups[0]['params'][0]
        if runner.rank == 1 and runner.iter == 1:
            own_rows(parameter.data)[-1] = torch.nan


@pytest.mark.slow
def test_a_training_that_diverges_ends_in_all_processes(project, tmp_path):
    """Although one process alone holds what is not finite."""

    def member():
        runner = project.run(tmp_path / 'run', **COMMON, strategy='fsdp')
        runner.register_hook(Poison())
        with pytest.raises(NonFiniteError) as error:
            runner.train()
        return str(error.value)

    for message in in_two_processes(member, tmp_path):
        assert 'iteration 3: weights were not finite before this step' in message


def test_scalars_beside_shards_are_refused_where_they_fail(project, tmp_path):
    def member():
        options = of_vit(project, model__trainable=['*'], optim_wrapper__optimizer=dict(foreach=True))
        with pytest.raises(ConfigError, match=r'clip.logit_scale cannot be shared out, and foreach and fused'):
            train(project, tmp_path / 'run', strategy='fsdp', **options)

    in_two_processes(member, tmp_path)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(strategy='fdsp'), r"strategy='fdsp' must be one of ddp, fsdp. Did you mean 'fsdp'"),
        (dict(launcher='none'), 'no launcher: start it with tools/dist_train.sh'),
        (dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel')), 'model_wrapper_cfg cannot be used'),
        (dict(custom_hooks=[dict(type='EMAHook')]), 'EMAHook averages whole parameters'),
    ],
)
def test_what_cannot_be_shared_out_is_refused(project, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        project.run(tmp_path, **dict(strategy='fsdp', launcher='pytorch') | options)


def test_what_is_fitted_without_gradients_is_refused(tmp_path):
    project = TinyFit.create(tmp_path / 'project')

    def member():
        with pytest.raises(ConfigError, match='the model trains no parameter by gradients'):
            project.run(tmp_path / 'run', strategy='fsdp', launcher='pytorch').train()

    in_two_processes(member, tmp_path)


def test_a_test_needs_no_launcher(project, tmp_path):
    """The strategy of a config is that of its training."""
    nothing = dict(train_cfg=None, optim_wrapper=None, train_dataloader=None, param_scheduler=None)
    assert project.run(tmp_path, strategy='fsdp', **nothing).test()


def test_optimizers_may_hold_frozen_parameters():
    """As mmengine's own constructor makes them."""
    model = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    optimizer = DefaultOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(model).optimizer
    weight, shard = model[1].weight, nn.Parameter(torch.ones(2, 2))
    share_optimizer(optimizer, {id(weight): shard, id(model[1].bias): model[1].bias})
    found = optimizer.param_groups[0]['params']
    assert [id(parameter) for parameter in found] == [id(p) for p in (*model[0].parameters(), shard, model[1].bias)]


def test_states_that_are_no_rows_are_refused():
    """Of optimizers that keep sums of rows and columns, such as Adafactor."""
    parameter = nn.Parameter(torch.ones(3, 2))
    optimizer = torch.optim.Adafactor([parameter])
    parameter.sum().backward()
    optimizer.step()
    with pytest.raises(ConfigError, match='cannot resume Adafactor, whose row_var has another shape'):
        share_optimizer(optimizer, {id(parameter): parameter})
