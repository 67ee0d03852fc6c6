"""What few-shot and long-tailed datasets have in common."""

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
        """The label of an image, as mmengine's wrappers ask for it."""
        return [self.get_data_info(index)['gt_label']]
