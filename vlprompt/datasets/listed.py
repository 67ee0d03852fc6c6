"""Base of datasets that list the images of a reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vlprompt.datasets.reader import Reader
from vlprompt.datasets.seeded import EpochSeededDataset


class ListedDataset(EpochSeededDataset):
    """One split of a supported dataset or of your own data.

    Args:
        build_reader: ``build_reader(data_root, dataset, ann_file, data_prefix)`` builds the reader, which provides
            the splits, their items and the folder of the images.
        data_root: the folder of this dataset; None: the usual folder of a supported dataset below
            ``data/`` (data/README.md).
        dataset: a supported dataset; None for your own data.
        ann_file: annotation file of your own data, relative to ``data_root``.
        data_prefix: folder that image paths of your own data are relative to, itself relative to ``data_root``.
        split: one of the reader's splits, or a name for several; only ``'train'`` is for training.
        seed: of the augmentation.
        pipeline: transforms of an image.
        lazy_init: read the files on first use instead of now.
    """

    def __init__(
        self,
        build_reader: Callable[..., Reader],
        /,
        data_root: str | None = None,
        dataset: str | None = None,
        ann_file: str | None = None,
        data_prefix: str = '',
        split: str = 'train',
        seed: int = 1,
        pipeline: Sequence[dict | Callable] = (),
        lazy_init: bool = False,
    ) -> None:
        self.reader = build_reader(data_root, dataset, ann_file, data_prefix)
        self.dataset, self.split = dataset, split
        super().__init__(
            seed=seed,
            data_root=str(self.reader.image_root),
            pipeline=list(pipeline),
            test_mode=split != 'train',
            lazy_init=lazy_init,
        )

    def notes(self) -> list[str]:
        """What the reader left out of the splits that were read, and other remarks."""
        return self.reader.notes()
