"""Values of the wrong type or range are errors that name the key."""

import math

import pytest

from tests.conftest import ROOT
from vlprompt.engine import load_config
from vlprompt.engine.config_values import fits
from vlprompt.errors import ConfigError


@pytest.mark.parametrize(
    ('option', 'value', 'wanted'),
    [
        ('shots', 1.5, 'a positive whole number'),
        ('train_dataloader.batch_size', 2.5, 'a positive whole number'),
        ('train_cfg.max_epochs', 0, 'a positive whole number'),
        ('train_cfg.max_epochs', 'abc', 'a positive whole number'),
        ('optim_wrapper.optimizer.lr', 'abc', 'a finite number, at least 0'),
        ('optim_wrapper.optimizer.weight_decay', -1, 'a finite number, at least 0'),
        ('randomness.seed', -5, 'a whole number, at least 0, or None'),
        ('train_dataloader.num_workers', -1, 'a whole number, at least 0'),
        ('default_hooks.logger.interval', 0, 'a whole number other than 0'),
        ('model.prompt.n_ctx', 'four', 'a whole number or None'),
        ('model.prompt.class_specific', 'yes', 'True or False'),
        ('model.trainable', 'prompt.*', 'a list of strings'),
        ('model.clip.image_size', 'big', None),
        ('train_dataloader.dataset.pipeline.1.scale', 3, 'a list'),
        ('param_scheduler.0.T_max', 0, 'a positive whole number or None'),
        ('auto_scale_lr.base_batch_size', True, 'a positive whole number'),
        ('optim_wrapper.optimizer.lr', math.nan, 'a finite number, at least 0'),
        ('optim_wrapper.optimizer.lr', math.inf, 'a finite number, at least 0'),
        ('optim_wrapper.optimizer.momentum', math.nan, 'a finite number, at least 0'),
        ('optim_wrapper.accumulative_counts', 0, 'a positive whole number'),
        ('optim_wrapper.clip_grad', 5, 'a dict, such as dict(max_norm=1), or None'),
        ('optim_wrapper.clip_grad.max_norm', -1, 'a positive number'),
        ('default_hooks.checkpoint.interval', 0, 'a whole number other than 0'),
        ('default_hooks.checkpoint.max_keep_ckpts', 0, 'a positive whole number, or -1 for all'),
        ('default_hooks.checkpoint.save_best', 5, 'a metric, a list of metrics, or None'),
        ('default_hooks.checkpoint.filename_tmpl', 'model.pth', "a name with '{}' for the epoch or iteration, or None"),
        ('default_hooks.non_finite.skip', -1, 'a whole number, at least 0'),
        ('train_dataloader.persistent_workers', 'yes', 'True or False'),
        ('train_dataloader.prefetch_factor', 0, 'a positive whole number or None'),
        ('train_dataloader.dataset.pipeline.1.size', 0, 'a positive whole number of pixels, or two'),
        ('log_processor.window_size', 0, 'a positive whole number'),
        ('resume', 'work_dirs/x', 'True or False'),
        ('load_from', 5, 'a path, or None'),
        ('log_level', 'LOUD', 'DEBUG, INFO, WARNING or ERROR'),
    ],
)
def test_values_of_the_wrong_type_or_range_are_errors(option, value, wanted):
    with pytest.raises(ConfigError) as error:
        load_config('coop_micro-rn', {option: value})
    assert f'{option}={value!r}' in str(error.value)
    assert wanted is None or f'must be {wanted}' in str(error.value)


def test_one_of_several_words_is_listed():
    with pytest.raises(ConfigError, match="marginals='saliency' must be one of 'uniform', 'class_token', 'text'"):
        load_config('plot_micro-rn', {'model.alignment.marginals': 'saliency'})


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('optim_wrapper.optimizer.lr', 1),
        ('default_hooks.checkpoint.interval', -1),
        ('model.prompt.init', 'a photo of a'),
        ('model.prompt.init', ['a photo', 'a drawing']),
        ('train_dataloader.dataset.shots', None),
        ('model.clip.image_size', [64, 64]),
    ],
)
def test_values_that_are_right_are_taken(option, value):
    load_config('coop_micro-rn', {option: value})


def test_annotations_that_configs_cannot_spell_are_left_to_the_constructor():
    assert fits(object(), ROOT.__class__)
    assert fits(None, int | None)
    assert not fits(True, int)
    assert fits([1, 2], tuple[int, int])
    assert not fits([1, 2, 3], tuple[int, int])


def test_start_methods_of_workers():
    with pytest.raises(ConfigError, match=r"mp_start_method='thread' must be fork, spawn or forkserver"):
        load_config('coop_micro-rn', {'env_cfg.mp_cfg.mp_start_method': 'thread'})
    with pytest.raises(ConfigError, match=r"multiprocessing_context='x' must be None or one of fork, spawn or fork"):
        load_config('coop_micro-rn', {'train_dataloader.multiprocessing_context': 'x'})
    load_config('coop_micro-rn', {'env_cfg.mp_cfg.mp_start_method': 'spawn'})
