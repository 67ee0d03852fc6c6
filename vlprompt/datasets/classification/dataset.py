"""Base of few-shot and long-tailed datasets."""

from __future__ import annotations

from collections.abc import Iterable

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.listed import ListedDataset


class ClassificationDataset(ListedDataset):
    """Images with class labels."""

    def samples(self, items: Iterable[Item]) -> list[dict]:
        """``img_path`` and ``gt_label`` of the reader's items."""
        root = self.reader.image_root
        return [dict(img_path=str(root / item.path), gt_label=item.label) for item in items]

    def get_cat_ids(self, index: int) -> list[int]:
        """The label of an image, for mmengine's wrappers."""
        return [self.get_data_info(index)['gt_label']]
