"""Training by epochs that can begin in the middle of one, and by steps over whole epochs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from vlprompt.datasets.samplers.epoch import EpochSampler
from vlprompt.engine.workers import guard_workers
from vlprompt.registry import LOOPS


@LOOPS.register_module()
class EpochTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, whose arguments it takes; a resumed run skips the batches of its epoch that
    were trained on before, without loading them.

    Attributes:
        batches: of the current epoch that are done, the one at hand included; 0 between epochs.
    """

    batches: int = 0

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self.batches
        for index, batch in enumerate(rest_of_epoch(self.dataloader, done), done):
            self.run_iter(index, batch)
        self.batches = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict] | dict[str, Any]) -> None:
        self.batches = idx + 1
        super().run_iter(idx, data_batch)


@LOOPS.register_module()
class StepTrainLoop(IterBasedTrainLoop):
    """mmengine's ``IterBasedTrainLoop``, whose arguments it takes, over one epoch after another.

    An epoch ends with its last batch, however short, as in recipes that go on through a loader until a number of steps
    is reached; the next begins without a pause.  A resumed run does not load what it was trained on before.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataloader_iterator = _Epochs(self.dataloader)


class _Epochs:
    """The batches of a loader, epoch after epoch.

    Args:
        loader: of an :class:`~vlprompt.datasets.samplers.epoch.EpochSampler`.

    Raises:
        TypeError: another sampler.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader, self.sampler = loader, getattr(loader.batch_sampler, 'sampler', None)
        if not isinstance(self.sampler, EpochSampler):
            raise TypeError(
                "StepTrainLoop needs train_dataloader.sampler=dict(type='vlprompt.EpochSampler'), got "
                f"{type(self.sampler).__name__}; for an endless one, train_cfg=dict(type='IterBasedTrainLoop')"
            )
        self.epoch, self.batches = -1, iter(())

    def __next__(self) -> Any:
        for batch in self.batches:
            return batch
        self._begin(self.epoch + 1)
        return next(self.batches)

    def skip_iter(self, steps: int) -> None:
        """Go on after the first ``steps`` batches."""
        self._begin(*divmod(steps, len(self.loader)))

    def _begin(self, epoch: int, done: int = 0) -> None:
        self.epoch = epoch
        self.sampler.set_epoch(epoch)
        self.batches = iter(rest_of_epoch(self.loader, done))


def rest_of_epoch(loader: DataLoader, done: int) -> DataLoader:
    """A loader of the batches of an epoch after the first ``done`` ones, with the same settings."""
    if not done:
        return loader
    rest = DataLoader(
        loader.dataset,
        batch_sampler=list(islice(loader.batch_sampler, done, None)),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        prefetch_factor=loader.prefetch_factor,
    )
    return guard_workers(rest)
