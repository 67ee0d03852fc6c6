"""Before anything is loaded or computed: does the model classify among the classes of the data?"""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from vlprompt.engine.class_names import agree_on_class_names
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class ClassNamesHook(Hook):
    """Hold the model's class names against every data set of the run, see :func:`agree_on_class_names`.

    Where names are taken over, they are those of the first data set (training before validation); another one that
    differs from it is an error.

    Models without ``set_class_names`` and data sets without ``classes`` are left alone.
    """

    def before_run(self, runner: Runner) -> None:
        model = getattr(runner, 'bare_model', runner.model)
        if not hasattr(model, 'set_class_names'):
            return
        configured = runner.cfg.model.get('class_names')
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if not isinstance(loop, BaseLoop):  # not part of this run
                continue
            dataset = loop.dataloader.dataset
            names = getattr(dataset, 'metainfo', {}).get('classes')
            if names is not None:
                agree_on_class_names(model, configured, names, f'{type(dataset).__name__} of {type(loop).__name__}')
                configured = list(model.class_names)  # the next data set has to agree with this one
