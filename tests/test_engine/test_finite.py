"""Trainings that diverge: noticed in the step, named with their files, and nothing good is overwritten."""

import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement

from tests.poison import poisoned
from tests.two_processes import in_two_processes
from vlprompt.alignment.sinkhorn import sinkhorn
from vlprompt.engine import load_config, read_checkpoint
from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.engine.finite import BatchSource, files_of_batch, largest_size, non_finite
from vlprompt.errors import NonFiniteError


@pytest.mark.parametrize(
    ('what', 'message'),
    [
        ('loss', r'iteration 8: loss_cls is nan, the gradient is not finite, with'),
        ('new loss', r'iteration 8: loss_extra is nan, the gradient is not finite \(finite: loss_cls'),
        ('gradient', r'iteration 8: the gradient is not finite \(finite: loss'),
        ('weights', r'iteration 8: weights were not finite before this step, since the update before it broke them'),
    ],
)
def test_a_training_that_fails_says_where_and_keeps_its_last_checkpoint(project, work_dir, what, message):
    """Twelve iterations, three an epoch; the eighth fails."""
    with pytest.raises(NonFiniteError, match=message) as error:
        poisoned(project, work_dir, 7, what).train()
    text = str(error.value)
    assert 'learning rate 0.5' in text or 'learning rate 0.' in text
    assert text.count('.png') == 4
    assert str(project.root / 'data' / 'train') in text
    assert f'The last checkpoint is {work_dir / "epoch_2.pth"}' in text
    assert 'default_hooks.non_finite.skip=N' in text
    assert [p.name for p in work_dir.glob('epoch_*')] == ['epoch_2.pth']
    for name in ('epoch_2.pth', RESUME_FILE):
        assert not non_finite(read_checkpoint(work_dir / name)['state_dict'])


def test_a_failed_training_resumes_from_its_last_checkpoint(project, work_dir, tmp_path):
    with pytest.raises(NonFiniteError):
        poisoned(project, work_dir, 7, 'loss').train()
    project.run(work_dir, resume=True).train()
    project.run(tmp_path / 'whole').train()
    contexts = [
        read_checkpoint(w / 'epoch_4.pth')['state_dict']['prompt.context'] for w in (work_dir, tmp_path / 'whole')
    ]
    assert torch.equal(*contexts)


@pytest.mark.parametrize('what', ['loss', 'gradient'])
def test_a_few_batches_may_be_left_out(project, work_dir, what):
    """The update of a batch that is left out changes nothing, neither weights nor momentum."""
    runner = poisoned(project, work_dir, 7, what, last=8, default_hooks__non_finite__skip=2)
    seen = []

    class Record(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            (state,) = runner.optim_wrapper.optimizer.state.values()
            seen.append((runner.model.prompt.context.detach().clone(), state['momentum_buffer'].clone()))

    runner.register_hook(Record())
    runner.train()
    for before, after in zip(seen[6], seen[8], strict=True):
        assert torch.equal(before, after)
    assert not torch.equal(seen[8][0], seen[9][0])
    assert runner.message_hub.get_info('skipped_batches') == 2

    with pytest.raises(NonFiniteError, match=r'1 such updates were left out before, as many as skip=1 allows'):
        poisoned(project, work_dir / 'less', 7, what, last=8, default_hooks__non_finite__skip=1).train()


def test_weights_that_are_broken_cannot_be_left_out(project, work_dir):
    with pytest.raises(NonFiniteError, match=r'cannot be left out, since prompt.context is not finite'):
        poisoned(project, work_dir, 7, 'weights', default_hooks__non_finite__skip=5).train()


def test_the_last_update_is_looked_at_too(project, work_dir):
    """No loss follows it: weights are compared when they are saved, or else at the end."""

    class BreakLast(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 11:
                runner.model.prompt.context.data.fill_(math.inf)

    runner = project.run(work_dir, default_hooks__checkpoint__interval=2)
    runner.register_hook(BreakLast())
    message = r'epoch_4.pth was not written, since after iteration 12 1 of 1 trained tensors hold NaN or infinity'
    with pytest.raises(NonFiniteError, match=message):
        runner.train()
    assert [p.name for p in work_dir.glob('epoch_*')] == ['epoch_2.pth']

    unsaved = project.run(
        work_dir / 'unsaved', default_hooks__checkpoint__interval=-1, default_hooks__checkpoint__save_last=False
    )
    unsaved.register_hook(BreakLast())
    with pytest.raises(NonFiniteError, match=r'after the last update .* prompt.context is not finite. No checkpoint'):
        unsaved.train()


def test_an_error_within_the_step_is_explained(project, work_dir, monkeypatch):
    """A part of a model that looks at its numbers meets NaN before there is a loss."""
    runner = poisoned(
        project, work_dir, 7, 'weights', model__alignment=dict(type='vlprompt.TransportAlignment', _delete_=True)
    )
    monkeypatch.setattr('vlprompt.alignment.transport.unchecked_sinkhorn', sinkhorn)
    with pytest.raises(
        NonFiniteError, match=r'iteration 8: sinkhorn: the cost is not finite.*broke prompt.context'
    ) as error:
        runner.train()
    assert str(error.value).count('.png') == 4


def test_a_part_of_the_model_may_say_what_the_cause_is(project, work_dir):
    """Optimal transport, whose plan underflows; not if the weights are the cause."""
    transport = dict(type='vlprompt.TransportAlignment', eps=1e-3, _delete_=True)
    hint = r"eps=0.001 of TransportAlignment is too small for float32: raise model.alignment.eps or set .*method='log'"
    with pytest.raises(NonFiniteError, match=rf'iteration 1: loss_cls is nan.*{hint}'):
        project.run(work_dir, model__alignment=transport).train()
    with pytest.raises(NonFiniteError, match='weights were not finite') as error:
        poisoned(project, work_dir, 0, 'weights', model__alignment=transport).train()
    assert 'eps' not in str(error.value)
    with pytest.raises(NonFiniteError, match=rf'^test: a score is NaN.*files of the batch: .*png.*{hint}'):
        project.run(work_dir, model__alignment=transport).test()


def test_accumulated_gradients_fail_together(project, work_dir, monkeypatch):
    with pytest.raises(NonFiniteError, match='iteration 8: loss_cls is nan'):
        poisoned(project, work_dir, 7, 'loss', optim_wrapper__accumulative_counts=3).train()
    runner = poisoned(
        project, work_dir / 'skip', 7, 'loss', optim_wrapper__accumulative_counts=3, default_hooks__non_finite__skip=2
    )
    lines = []
    monkeypatch.setattr(runner.logger, 'warning', lines.append)
    runner.train()
    assert runner.message_hub.get_info('skipped_batches') == 1
    (line,) = (line for line in lines if 'Left out' in line)
    assert 'iteration 8: loss_cls is nan' in line
    assert line.count('.png') == 4, 'of the batch with this loss, not of the one with the update'
    assert not non_finite(runner.model.state_dict())


def test_a_gradient_that_fails_names_all_batches_of_its_update(project, work_dir):
    with pytest.raises(NonFiniteError, match=r'iteration 9: the gradient .*; 3 batches since the last update') as error:
        poisoned(project, work_dir, 7, 'gradient', optim_wrapper__accumulative_counts=3).train()
    assert str(error.value).count('.png') == 8
    assert 'and 4 more' in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize('read_every', [1, 100])
def test_processes_fail_together(project, work_dir, tmp_path, read_every):
    """A loss of one process is NaN in the first of three batches of an update."""

    class Poison(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if (runner.iter, runner.rank) == (6, 1):
                normal = runner.bare_model.parse_losses
                runner.bare_model.parse_losses = lambda losses: normal(
                    {name: value * math.nan if 'loss' in name else value for name, value in losses.items()}
                )
            elif runner.rank == 1 and runner.iter == 7:
                del runner.bare_model.parse_losses

    def member():
        runner = project.run(
            work_dir,
            launcher='pytorch',
            train_dataloader__batch_size=2,
            optim_wrapper__accumulative_counts=3,
            default_hooks__logger__interval=100,
            default_hooks__runtime_info__read_every=read_every,
        )
        runner.register_hook(Poison())
        with pytest.raises(NonFiniteError) as error:
            runner.train()
        return runner.iter, str(error.value)

    (iteration, first), (same, second) = in_two_processes(member, tmp_path)
    assert (iteration, same) == (8, 8)
    assert 'iteration 9: the gradient is not finite' in first
    assert 'iteration 7: loss' in second


@pytest.mark.parametrize(('point', 'files'), [('before_val_iter', 6), ('after_val_epoch', 0)])
def test_an_error_in_a_validation_names_its_own_batch(project, work_dir, point, files):
    class Fail(Hook):
        pass

    def fail(self, runner, batch_idx=1, *args, **kwargs):
        if batch_idx == 1:
            raise FloatingPointError('out of range')

    setattr(Fail, point, fail)
    cfg = load_config(project.config)
    runner = project.run(work_dir, val_cfg={}, val_dataloader=cfg.test_dataloader, val_evaluator=cfg.test_evaluator)
    runner.register_hook(Fail())
    with pytest.raises(NonFiniteError, match=r'^validation after iteration 3: out of range[;.]') as error:
        runner.train()
    text = str(error.value)
    assert 'with learning rate' not in text
    assert text.count('.png') == text.count(f'{project.root}/data/test') == files


def test_mixed_precision_and_clipping_are_looked_at_too(project, work_dir):
    with pytest.raises(NonFiniteError, match='the gradient is not finite'):
        poisoned(
            project,
            work_dir,
            1,
            'gradient',
            optim_wrapper__type='vlprompt.AutocastOptimWrapper',
            optim_wrapper__clip_grad=dict(max_norm=1.0),
        ).train()


def test_an_overflow_that_the_loss_scaler_leaves_out_is_no_error(project, work_dir):
    """Unless every update overflows."""

    class Scaler:
        def __init__(self, overflows):
            self.overflows = overflows

        def is_enabled(self):
            return True

        def __call__(self, runner):
            step = runner.optim_wrapper.step
            runner.optim_wrapper.scaler = self
            runner.optim_wrapper.step = lambda **kwargs: None if self.overflows(runner.iter) else step(**kwargs)

    class Install(Hook):
        def __init__(self, overflows):
            self.overflows = overflows

        def before_train(self, runner):
            Scaler(self.overflows)(runner)

    runner = project.run(work_dir)
    runner.register_hook(Install(lambda iteration: iteration in (0, 1, 5)))
    runner.train()
    runner = project.run(work_dir / 'always', train_cfg__max_epochs=20, param_scheduler__0__T_max=20)
    runner.register_hook(Install(lambda iteration: iteration > 2))
    with pytest.raises(NonFiniteError, match='iteration 44: in float16 gradients overflowed 41 times in a row'):
        runner.train()


def test_batches_name_their_files():
    samples = [BaseDataElement(metainfo=dict(img_path=f'{i}.png')) for i in range(10)]
    assert files_of_batch([dict(inputs=[], data_samples=samples[:2]), dict(data_samples=samples[2:4])]) == [
        '0.png',
        '1.png',
        '2.png',
        '3.png',
    ]
    named = BatchSource.of(dict(data_samples=samples))
    assert named.describe(limit=2) == 'files of the batch: 0.png, 1.png and 8 more'
    stored = BatchSource.of(dict(data_samples=torch.tensor([3, 4])))
    assert stored.describe() == 'a batch of 2 stored features with labels 3, 4'
    nameless = BatchSource.of(dict(data_samples=[BaseDataElement()] * 3))
    assert nameless.describe() == 'a batch of 3 samples, which do not name their files'
    assert BatchSource.of([]).describe() == 'a batch that does not name its files'


def test_sizes_and_names():
    tensors = dict(a=torch.ones(3), b=torch.tensor([1.0, math.nan]), c=torch.tensor([math.inf]), d=torch.arange(3))
    assert non_finite(tensors) == ['b', 'c']
    assert largest_size([torch.full((3,), 1e30), torch.full((3,), -2e30)]) == 2e30, 'squares would overflow'
    assert math.isnan(largest_size([tensors['a'], tensors['b'], tensors['c']]))


def test_sinkhorn_tells_a_broken_cost_from_a_small_eps():
    with pytest.raises(FloatingPointError, match=r'the cost is not finite.*diverged'):
        sinkhorn(torch.full((2, 3), math.nan))
    with pytest.raises(FloatingPointError, match='raise eps'):
        sinkhorn(1000 + torch.rand(2, 3), 0.1)
