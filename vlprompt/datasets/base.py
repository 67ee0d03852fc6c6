"""Data sets whose augmentation is reproducible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mmengine.dataset import BaseDataset

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.reid.readers import ReIDReader
from vlprompt.datasets.seeding import sample_rng


class EpochSeededDataset(BaseDataset):
    """A data set whose samples depend on (seed, epoch, index) only.

    The index carries the epoch: ``dataset[epoch * len(dataset) + i]`` is sample ``i`` as augmented in that
    epoch.  :class:`~vlprompt.datasets.samplers.epoch.EpochSampler` yields such indices; an ordinary sampler's indices
    mean epoch 0.  A pipeline never returns None here: a broken image is an error, not another image.

    Args:
        seed: of the random numbers of the pipeline.
        **kwargs: those of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, *, seed: int = 0, **kwargs) -> None:
        self.seed = seed
        super().__init__(**kwargs)

    def __getitem__(self, index: int) -> dict:
        """Sample ``index % len`` of epoch ``index // len``; a negative index counts from the end in epoch 0."""
        self.full_init()
        epoch, i = divmod(index, len(self))
        with sample_rng(self.seed, max(epoch, 0), i):
            return self.prepare_data(i)

    def __iter__(self) -> Iterator[dict]:
        """The samples of epoch 0 (without this, iteration would run on into later epochs for ever)."""
        return (self[i] for i in range(len(self)))


class ListedDataset(EpochSeededDataset):
    """One split of the images that a reader finds.

    Args:
        reader: knows the splits, their entries and the folder of the images.
        dataset: the benchmark; None for one's own data.
        split: one of the reader's; only ``'train'`` is for training.
        data_root: the folder of all benchmarks, or of one's own data.
        seed: of the augmentation.
        pipeline: transforms of an image.
        lazy_init: read the files on first use instead of now.
    """

    def __init__(
        self,
        reader: SplitReader | ReIDReader,
        *,
        dataset: str | None,
        split: str,
        data_root: str,
        seed: int = 1,
        pipeline: Sequence[dict | Callable] = (),
        lazy_init: bool = False,
    ) -> None:
        self.reader, self.dataset, self.split = reader, dataset, split
        super().__init__(
            seed=seed,
            data_root=data_root,
            pipeline=list(pipeline),
            test_mode=split != 'train',
            lazy_init=lazy_init,
        )


class ClassificationDataset(ListedDataset):
    """Images with class labels."""

    def samples(self, items: Iterable[Item]) -> list[dict]:
        """``img_path`` and ``gt_label`` of the reader's entries."""
        root = self.reader.image_root
        return [dict(img_path=str(root / item.path), gt_label=item.label) for item in items]

    def get_cat_ids(self, index: int) -> list[int]:
        """The label of an image, as mmengine's wrappers ask for it."""
        return [self.get_data_info(index)['gt_label']]
