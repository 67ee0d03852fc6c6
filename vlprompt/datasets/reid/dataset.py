"""Re-identification data: benchmarks and your own images."""

from __future__ import annotations

from functools import partial

from vlprompt.datasets.build_reader import build_reid_reader
from vlprompt.datasets.listed import ListedDataset
from vlprompt.registry import DATASETS

ROLES = dict(train=('train',), query=('query',), gallery=('gallery',), test=('query', 'gallery'))


@DATASETS.register_module()
class ReIDDataset(ListedDataset):
    """Images with an identity, a camera and a viewpoint.

    A benchmark is given by ``dataset``; its folder is ``data_root``, by default its own below ``data/``
    (data/README.md).  Your own data is in ``data_root`` too: without ``ann_file`` in Market-1501's layout, that is
    folders ``bounding_box_train``, ``query`` and ``bounding_box_test`` of images called ``<identity>_c<camera>...``;
    otherwise listed in a CSV file with the columns ``path``, ``id``, ``camera`` and optionally ``view`` and ``split``.

    Training samples have ``gt_label``, the position of their identity among the sorted training identities.  The split
    ``'test'`` is the query followed by the gallery, so that one pass of a test loop extracts both; the ``role`` of
    every sample tells them apart.

    ``metainfo`` has ``dataset``, ``num_ids`` (identities of the split; in training the classes), ``num_cameras`` and
    ``num_views`` (of the dataset: those of its training split, if it has one), and ``noun``, ``'person'`` or
    ``'vehicle'``.

    Args:
        data_root: the folder of this dataset; None: that of the benchmark below ``data/``.
        dataset: a benchmark: ``'market1501'``, ``'dukemtmc'``, ``'occluded_duke'``, ``'msmt17'``, ``'veri'``,
            ``'vehicleid'`` (800 test identities), ``'vehicleid_1600'``, ``'vehicleid_2400'`` or ``'scenes_reid'`` (the
            built-in world); None for your own data.
        ann_file: CSV file of your own data, relative to ``data_root``; ``'{split}.csv'`` for a file per split.
        data_prefix: folder that image paths of the CSV file are relative to, itself relative to ``data_root``.
        noun: what your own images show; None: ``'person'``.
        split: ``'train'``, ``'query'``, ``'gallery'`` or ``'test'`` (query and gallery).
        seed: of the augmentation.
        pipeline: transforms of an image.
        lazy_init: read the files on first use instead of now.

    Raises:
        FileNotFoundError: a missing file or folder; the message says where to get it.
        ValueError: a malformed file name or row, or inconsistent entries; the message names file and field.
    """

    def __init__(
        self,
        data_root: str | None = None,
        dataset: str | None = None,
        noun: str | None = None,
        split: str = 'train',
        **kwargs,
    ) -> None:
        if split not in ROLES:
            raise ValueError(f'split must be one of {", ".join(ROLES)}, got {split!r}')
        super().__init__(partial(build_reid_reader, noun=noun), data_root, dataset, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """``img_path``, ``pid``, ``camid``, ``viewid`` and ``role`` of every image; in training ``gt_label``."""
        items = {role: self.reader.read(role) for role in ROLES[self.split]}
        pids = sorted({item.pid for entries in items.values() for item in entries})
        self._metainfo.update(
            dataset=self.dataset or 'custom',
            num_ids=len(pids),
            num_cameras=self.reader.num_cameras,
            num_views=self.reader.num_views,
            noun=self.reader.noun,
        )
        data_list = [
            dict(
                img_path=str(self.reader.image_root / item.path),
                pid=item.pid,
                camid=item.camid,
                viewid=item.viewid,
                role=role,
            )
            for role, entries in items.items()
            for item in entries
        ]
        if self.split == 'train':
            label_of = {pid: label for label, pid in enumerate(pids)}
            for entry in data_list:
                entry['gt_label'] = label_of[entry['pid']]
        return data_list

    @property
    def pids(self) -> list[int]:
        """Identity of every image."""
        return [self.get_data_info(index)['pid'] for index in range(len(self))]

    def __repr__(self) -> str:
        self.full_init()
        meta = self.metainfo
        return (
            f'{type(self).__name__}({meta["dataset"]}, split={self.split}): {len(self)} images of {meta["num_ids"]} '
            f'identities; the dataset has {meta["num_cameras"]} cameras and {meta["num_views"]} viewpoints'
        )
