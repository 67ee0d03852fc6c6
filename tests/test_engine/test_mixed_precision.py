"""Trainings in mixed precision that are interrupted and resumed, and validations of them."""

import pytest
import torch

from tests.interruption import Interrupted
from vlprompt.engine import load_config, read_checkpoint
from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.models import TextClassifier

SCALING = dict(init_scale=2.0**20, growth_interval=4)  # overflows at first


def amp(dtype, **options):
    options |= dict(optim_wrapper__type='vlprompt.AutocastOptimWrapper', optim_wrapper__dtype=dtype)
    return options | (dict(optim_wrapper__loss_scale=SCALING) if dtype == 'float16' else {})


@pytest.mark.parametrize('accumulated', [1, 2])
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_weights_and_loss_scaler_of_a_resumed_run(project, tmp_path, dtype, accumulated):
    """Equal, bit for bit; with accumulated gradients, which are scaled, the run ends between two updates."""
    options = amp(dtype, optim_wrapper__accumulative_counts=accumulated, train_cfg__max_epochs=8)
    project.run(tmp_path / 'whole', **options).train()
    hooks = [dict(type='InterruptingHook', epoch=5)]  # of 3 iterations each
    with pytest.raises(Interrupted):
        project.run(tmp_path / 'cut', custom_hooks=hooks, **options).train()
    cut = read_checkpoint(tmp_path / 'cut' / RESUME_FILE)
    assert ('gradients' in cut) == (accumulated == 2)
    if dtype == 'float16':
        scaler = cut['optimizer']['loss_scaler']
        assert scaler['scale'] < SCALING['init_scale']
        assert scaler['_growth_tracker'] > 0, scaler
    project.run(tmp_path / 'cut', resume=True, **options).train()
    ours, theirs = (read_checkpoint(tmp_path / folder / RESUME_FILE) for folder in ('cut', 'whole'))
    assert ours['optimizer']['loss_scaler'] == theirs['optimizer']['loss_scaler']
    assert torch.equal(ours['state_dict']['prompt.context'], theirs['state_dict']['prompt.context'])
    momentum = [state['optimizer']['state'][0]['momentum_buffer'] for state in (ours, theirs)]
    assert torch.equal(*momentum)


def test_a_test_is_in_float32_unless_it_asks_for_less(project, tmp_path, monkeypatch):
    """Also after a training in mixed precision."""
    dtypes = []

    def scores(self, logits):
        dtypes.append(torch.get_autocast_dtype('cpu') if torch.is_autocast_enabled('cpu') else torch.float32)
        return logits.softmax(1)

    monkeypatch.setattr(TextClassifier, 'scores', scores)
    test = load_config(project.config).test_dataloader
    for fp16 in (False, True):
        runner = project.run(
            tmp_path / str(fp16),
            val_cfg=dict(fp16=fp16),
            test_cfg=dict(fp16=fp16),
            val_dataloader=test,
            val_evaluator=dict(type='vlprompt.Accuracy'),
            **amp('bfloat16', train_cfg__max_epochs=1),
        )
        runner.train()
        runner.test()
    assert dtypes == [torch.float32] * 4 + [torch.bfloat16] * 4
