"""Numbers of training steps are read together, and the log, the errors and what is saved are those of reading each."""

import json
import math
import signal

import pytest
import torch
from mmengine.hooks import Hook

from tests.host_reads import HostReads
from tests.poison import poisoned
from vlprompt.engine import load_config, read_checkpoint
from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.engine.hooks import RuntimeInfoHook
from vlprompt.engine.readings import Readings
from vlprompt.errors import ConfigError, NonFiniteError, Stopped

LONG = dict(train_dataloader__batch_size=1, train_cfg__max_epochs=2, default_hooks__logger__interval=5)
"""Two epochs of 12 steps with a line of the log after every fifth."""
DEFERRED = LONG | dict(default_hooks__runtime_info__read_every=100)
"""Numbers are read when they are needed, as on a GPU."""


def test_the_numbers_are_those_of_item():
    strided = torch.arange(10.0)[1::3][1:2]
    assert strided.stride() == (3,)
    values = [
        torch.tensor(0.1),
        torch.tensor(0.1, dtype=torch.float64, requires_grad=True),
        torch.tensor([0.1], dtype=torch.bfloat16),
        torch.tensor([[0.1]], dtype=torch.float16),
        torch.tensor(2**53 + 1),
        torch.tensor(True),
        torch.tensor(math.nan),
        torch.tensor(-math.inf),
        strided,
        3,
        0.5,
    ]
    expected = [value.item() if isinstance(value, torch.Tensor) else value for value in values]
    readings, seen = Readings(), []
    readings.add(values, seen.append)
    readings.add(values[::-1], seen.append)
    readings.read()
    for found, wanted in zip(seen, (expected, expected[::-1]), strict=True):
        assert list(map(repr, found)) == list(map(repr, wanted)), 'types too'
    readings.read()
    assert len(seen) == 2, 'once'


def test_a_later_change_in_place_is_not_seen():
    value, readings, seen = torch.zeros(()), Readings(), []
    for _ in range(3):
        value += 1
        readings.add([value], seen.extend)
    readings.read()
    assert seen == [1, 2, 3]


def test_one_copy_reads_all(monkeypatch):
    reads, readings, seen = HostReads(monkeypatch), Readings(), []
    with reads:
        for step in range(20):
            readings.add([torch.tensor(step / 2), torch.tensor(step), 1.0], seen.append)
        assert (reads.copies, reads.numbers, seen) == (0, 0, [])
        readings.read()
    assert (reads.copies, reads.numbers) == (1, 0)
    assert seen == [[step / 2, step, 1.0] for step in range(20)]
    with reads:
        readings.add([2.0], seen.append)
        readings.read()
    assert reads.copies == 1, 'none for numbers of the host'


def test_what_is_no_number_is_an_error():
    with pytest.raises(ValueError, match=r'got shape \(2,\)'):
        Readings().add([torch.ones(2)], print)
    with pytest.raises(ValueError, match='at least 1'):
        RuntimeInfoHook(read_every=0)


def test_what_waits_behind_an_error_is_dropped():
    readings, seen = Readings(), []

    def fail(numbers):
        raise NonFiniteError('no')

    readings.add([1], seen.append)
    readings.add([2], fail, pressing=True)
    readings.add([3], seen.append)
    assert readings.pressing
    with pytest.raises(NonFiniteError):
        readings.read()
    readings.read()
    assert seen == [[1]]
    assert not readings.pressing


class CountReads(Hook):
    """Count the reads of hooks and updates, which the engine is responsible for."""

    def __init__(self, monkeypatch):
        self.reads, self.after = HostReads(monkeypatch), []

    def before_train(self, runner):
        for owner, name in ((runner, 'call_hook'), (runner.optim_wrapper, 'update_params')):
            setattr(owner, name, self._watched(getattr(owner, name)))

    def _watched(self, function):
        def call(*args, **kwargs):
            if self.reads.active:  # a hook that calls others
                return function(*args, **kwargs)
            with self.reads:
                result = function(*args, **kwargs)
            if 'after_train_iter' in args:
                self.after.append((self.reads.copies, self.reads.numbers))
            return result

        return call


CLIPPED = dict(optim_wrapper__clip_grad=dict(max_norm=1.0))


def test_hooks_and_updates_read_once_for_a_line_of_the_log(project, work_dir, monkeypatch):
    """Losses, accuracy, norm of the gradient, sizes of weights and gradients: 12 steps, lines after 5 and 10."""
    runner = project.run(work_dir, **DEFERRED | CLIPPED | dict(train_cfg__max_epochs=1))
    runner.register_hook(counter := CountReads(monkeypatch))
    runner.train()
    assert counter.after == [(1, 0)] * 4 + [(2, 0)] * 5 + [(3, 0)] * 2 + [(4, 0)], 'the first step, the last one'


def test_without_deferral_each_step_is_read(project, work_dir, monkeypatch):
    runner = project.run(work_dir, **LONG | CLIPPED | dict(train_cfg__max_epochs=1))
    runner.register_hook(counter := CountReads(monkeypatch))
    runner.train()
    assert counter.after == [(step, 0) for step in range(1, 13)]


def log_of(work_dir):
    """What the log says of each step, in its order, without times and memory."""
    lines = [line for file in sorted(work_dir.glob('*/vis_data/2*.json')) for line in file.read_text().splitlines()]
    timed = ('time', 'data_time', 'memory', 'images/s')
    return [[item for item in json.loads(line).items() if item[0] not in timed] for line in lines]


def scalars_of(work_dir):
    """Histories of the message hub that a resumed run goes on with, in their order."""
    scalars = read_checkpoint(work_dir / RESUME_FILE)['message_hub']['log_scalars']
    return [(name, [column.tolist() for column in buffer]) for name, buffer in scalars.items() if 'time' not in name]


ACCUMULATED = dict(optim_wrapper__accumulative_counts=3)


@pytest.mark.parametrize('options', [CLIPPED, CLIPPED | ACCUMULATED], ids=['clipped', 'accumulated'])
def test_log_and_state_are_those_of_reading_each_step(project, tmp_path, options):
    cfg = load_config(project.config)
    options = options | dict(val_cfg={}, val_dataloader=cfg.test_dataloader, val_evaluator=cfg.test_evaluator)
    for name, mode in (('each', LONG), ('together', DEFERRED)):
        project.run(tmp_path / name, **mode | options).train()
    expected = log_of(tmp_path / 'each')
    assert len(expected) == 6
    assert 'grad_norm' in dict(expected[0])
    assert log_of(tmp_path / 'together') == expected
    assert scalars_of(tmp_path / 'together') == scalars_of(tmp_path / 'each')
    order = [name for name, _ in read_checkpoint(tmp_path / 'each' / RESUME_FILE)['message_hub']['log_scalars'].items()]
    assert list(read_checkpoint(tmp_path / 'together' / RESUME_FILE)['message_hub']['log_scalars']) == order


class SendSignal(Hook):
    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            runner.stop_request.receive(signal.SIGTERM)


def test_a_run_that_is_stopped_between_two_lines_goes_on_with_the_same_log(project, tmp_path):
    project.run(tmp_path / 'whole', **LONG).train()
    first = project.run(tmp_path / 'work', **DEFERRED)
    first.register_hook(SendSignal(7))
    with pytest.raises(Stopped):
        first.train()
    stored = dict(scalars_of(tmp_path / 'work'))['train/loss']
    assert len(stored[0]) == 8, 'of all steps so far'
    project.run(tmp_path / 'work', resume=True, **DEFERRED).train()
    assert scalars_of(tmp_path / 'work') == scalars_of(tmp_path / 'whole')


@pytest.mark.parametrize('options', [{}, ACCUMULATED], ids=['each', 'accumulated'])
@pytest.mark.parametrize('what', ['loss', 'new loss', 'gradient', 'weights'])
def test_the_error_is_about_the_first_step_that_failed(project, tmp_path, what, options):
    """Word for word the one of reading each step, although the training has gone on to the next line of the log."""
    errors, steps = [], []
    for name, mode in (('each', LONG), ('together', DEFERRED)):
        runner = poisoned(project, tmp_path / name, 6, what, **mode | options)
        with pytest.raises(NonFiniteError) as error:
            runner.train()
        errors.append(str(error.value).replace(str(tmp_path / name), ''))
        steps.append(runner.iter + 1)
    assert errors[0] == errors[1]
    assert errors[0].startswith('iteration 9' if options and what == 'gradient' else 'iteration 7')
    assert steps == [9 if options and what == 'gradient' else 7, 10]


def test_nothing_is_saved_between_a_step_that_failed_and_the_error(project, work_dir):
    every_four = dict(default_hooks__checkpoint__by_epoch=False, default_hooks__checkpoint__interval=4)
    runner = poisoned(project, work_dir, 6, 'loss', **DEFERRED | every_four | dict(default_hooks__logger__interval=100))
    with pytest.raises(NonFiniteError, match=rf'iteration 7: .* The last checkpoint is {work_dir / "iter_4.pth"}'):
        runner.train()
    assert runner.iter + 1 == 8
    assert [path.name for path in work_dir.glob('iter_*.pth')] == ['iter_4.pth']
    assert read_checkpoint(work_dir / RESUME_FILE)['meta']['iter'] == 4


def test_a_state_to_resume_from_is_not_saved_after_a_step_that_failed(project, work_dir):
    runner = poisoned(project, work_dir, 6, 'loss', **DEFERRED)
    runner.register_hook(SendSignal(7))
    with pytest.raises(NonFiniteError, match=r'iteration 7: .* No checkpoint was saved before'):
        runner.train()
    assert runner.iter + 1 == 8
    assert not (work_dir / RESUME_FILE).exists()


def test_a_validation_comes_after_a_look_at_the_steps_before(project, work_dir):
    seen = []

    class Record(Hook):
        def before_val_epoch(self, runner):
            seen.append(runner.iter)

    cfg = load_config(project.config)
    validation = dict(val_cfg={}, val_dataloader=cfg.test_dataloader, val_evaluator=cfg.test_evaluator)
    by_steps = dict(train_cfg=dict(by_epoch=False, max_iters=12, val_interval=4, _delete_=True), param_scheduler=[])
    options = DEFERRED | validation | by_steps | dict(default_hooks__logger__interval=100)
    options |= dict(default_hooks__checkpoint__by_epoch=False, default_hooks__checkpoint__interval=100)
    options |= dict(train_dataloader__sampler__type='InfiniteSampler')
    runner = poisoned(project, work_dir, 6, 'loss', **options)
    runner.register_hook(Record())
    with pytest.raises(NonFiniteError, match='iteration 7: '):
        runner.train()
    assert seen == [4]


def test_an_error_that_follows_from_a_step_that_failed_is_not_shown_alone(project, work_dir):
    class Fail(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 8:
                raise IndexError('out of range, since an index was made of NaN')

    runner = poisoned(project, work_dir, 6, 'loss', **DEFERRED)
    runner.register_hook(Fail())
    with pytest.raises(NonFiniteError, match='iteration 7: ') as error:
        runner.train()
    assert isinstance(error.value.__cause__, IndexError)

    healthy = project.run(work_dir / 'healthy', **DEFERRED)
    healthy.register_hook(Fail())
    with pytest.raises(IndexError):
        healthy.train()


def test_updates_that_may_be_left_out_are_read_at_once(project, work_dir):
    runner = poisoned(project, work_dir, 6, 'loss', **DEFERRED | dict(default_hooks__non_finite__skip=1))
    runner.train()
    assert runner.message_hub.get_info('skipped_batches') == 1
    assert runner.bare_model.prompt.context.isfinite().all()


def test_the_check_needs_the_hook_that_reads(project, work_dir):
    with pytest.raises(ConfigError, match=r'non_finite needs default_hooks\.runtime_info'):
        project.run(work_dir, default_hooks__runtime_info=None).train()


def test_a_config_of_another_package_has_the_hook_too(project, work_dir):
    """Where ``RuntimeInfoHook`` means mmengine's."""
    runner = project.run(work_dir, default_scope='mmengine')
    assert sum(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks) == 1
