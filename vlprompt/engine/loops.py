"""Training by epochs that can begin in the middle of one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

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
