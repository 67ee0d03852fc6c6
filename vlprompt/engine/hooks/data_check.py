"""Before anything is loaded or computed: does the model fit the data?"""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from vlprompt.registry import HOOKS


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Call the model's ``check_data(metainfo, what, training)`` for every data set of the run."""

    def before_run(self, runner: Runner) -> None:
        model = getattr(runner, 'bare_model', runner.model)
        if not hasattr(model, 'check_data'):
            return
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop):  # else no part of this run
                dataset = loop.dataloader.dataset
                what = f'{type(dataset).__name__} of {type(loop).__name__}'
                model.check_data(getattr(dataset, 'metainfo', {}), what, training=loop is runner._train_loop)
