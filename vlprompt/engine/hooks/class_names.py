"""Before anything is loaded or computed: does the model classify among the classes of the data?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from vlprompt.engine.class_names import agree_on_class_names
from vlprompt.errors import ConfigError
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class ClassNamesHook(Hook):
    """Hold the model's class names against every data set of the run, see :func:`agree_on_class_names`.

    Where names are taken over, they are those of the first data set (training before validation); another one that
    differs from it is an error.

    Of a segmentor of mmseg without ``set_class_names``, the number of classes of its decode head must be that of the
    data.  Other models, and data sets without ``classes``, are left alone.
    """

    def before_run(self, runner: Runner) -> None:
        model = getattr(runner, 'bare_model', runner.model)
        if not hasattr(model, 'set_class_names'):
            number = getattr(getattr(model, 'decode_head', None), 'num_classes', None)
            for names, what in _classes_of(runner):
                if number not in (None, len(names)):
                    raise ConfigError(f'model.decode_head.num_classes={number}, but {what} has {len(names)} classes')
            return
        configured = runner.cfg.model.get('class_names')
        for names, what in _classes_of(runner):
            agree_on_class_names(model, configured, names, what)
            configured = list(model.class_names)  # the next data set has to agree with this one


def _classes_of(runner: Runner) -> Iterator[tuple[Sequence[str], str]]:
    """Class names of the data sets of a run, and what to call each of them."""
    for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
        if not isinstance(loop, BaseLoop):  # not part of this run
            continue
        dataset = loop.dataloader.dataset
        names = getattr(dataset, 'metainfo', {}).get('classes')
        if names is not None:
            yield names, f'{type(dataset).__name__} of {type(loop).__name__}'
