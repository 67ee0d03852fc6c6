"""Semantic segmentation from a folder of images and a folder of masks.

Imports mmseg, so configs name this module in ``custom_imports``; :mod:`vlprompt.datasets` does not import it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset

from vlprompt.clip.classnames import resolve_class_names
from vlprompt.datasets.dense.load_annotations import CheckedLoadAnnotations  # noqa: F401  registered for configs
from vlprompt.datasets.dense.mask_size import require_mask_of_image, require_one_channel
from vlprompt.datasets.dense.palette import mask_palette
from vlprompt.datasets.images import (
    count_suffixes,
    direct_images,
    find_images,
    list_images,
    load_image,
    naming_dataset_image,
)
from vlprompt.datasets.pixels import decode_indices
from vlprompt.datasets.reader import first_existing, require_data_root, require_place, unread_beside
from vlprompt.registry import DATASETS, TRANSFORMS

UNLABELLED = 255
"""The label that mmseg's heads, losses and metrics ignore; also the value of padding."""


@DATASETS.register_module()
class FolderSegDataset(BaseSegDataset):
    """Images and masks of the same name, and a file of class names::

        data_root/
        ├── classnames.txt           one name per line, in the order of the ids; or classes.txt
        ├── images/<split>/a.jpg     any depth of folders below the split
        └── masks/<split>/a.png      one channel: class ids 0 ... K - 1, ``ignore_index`` where nothing is labelled;
                                     or annotations/<split>/a.png

    With ``reduce_zero_label``, as in ADE20K's files, the ids are 1 ... K, and 0 is unlabelled too.

    Load samples with :class:`~vlprompt.datasets.LoadImageFile` and :class:`LoadMask`, whose errors name the file.

    Args:
        data_root: the folder.
        split: name of the sub-folder of ``images`` and ``masks``; '' for none.
        images: name of the folder of the images.
        masks: name of the folder of the masks; None: ``masks``, or ``annotations`` if there is none.
        class_names: K names, or a text file, relative to ``data_root`` unless absolute; None: ``classnames.txt``, or
            ``classes.txt`` if there is none.
        palette: K RGB colours for pictures; by default those of PASCAL VOC's masks for the ids in the files.
        pipeline: transforms.
        ignore_index: id of unlabelled pixels in the files; :class:`LoadMask` turns it into 255, which heads, losses
            and metrics ignore.
        reduce_zero_label: 0 in the files is unlabelled too, and the classes are 1 ... K, as in ADE20K;
            :class:`LoadMask` turns them into the labels 0 ... K - 1, which predictions have as well.
        test_mode: as in mmengine's ``BaseDataset``.
        indices: use only these samples, or the first n.
        lazy_init: do not list the files yet.

    Raises:
        FileNotFoundError: no folder, no class names, no images, or images without a mask.
        ValueError: unequal numbers of colours and names, more than 255 names, or an ``ignore_index`` that is a class.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        images: str = 'images',
        masks: str | None = None,
        class_names: str | Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        ignore_index: int = 255,
        reduce_zero_label: bool = False,
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
        lazy_init: bool = False,
    ) -> None:
        if class_names is None:
            class_names = _names_file(data_root)
        masks = masks or first_existing(data_root, 'masks', 'annotations')
        if isinstance(class_names, str):
            class_names = str(Path(data_root, class_names))
        names = resolve_class_names(class_names)
        first, last = int(reduce_zero_label), len(names) - 1 + reduce_zero_label
        if last >= UNLABELLED:
            room = UNLABELLED - first
            raise ValueError(f'FolderSegDataset: {len(names)} classes, but 8-bit masks have room for {room}')
        if first <= ignore_index <= last:
            zero = '' if ignore_index else '; if 0 is unlabelled and the classes are 1 to K, set reduce_zero_label=True'
            raise ValueError(
                f'FolderSegDataset: ignore_index={ignore_index} is the id of class {names[ignore_index - first]!r}; '
                f'unlabelled pixels need an id of their own, {"0 or " * first}{last + 1} to 255{zero}'
            )
        palette = mask_palette(len(names), reduce_zero_label) if palette is None else [list(c) for c in palette]
        if len(palette) != len(names):
            raise ValueError(f'FolderSegDataset: {len(names)} class names, but {len(palette)} colours in palette')
        self.split = split
        super().__init__(
            data_root=data_root,
            data_prefix=dict(img_path=str(Path(images, split)), seg_map_path=str(Path(masks, split))),
            metainfo=dict(classes=names, palette=palette),
            pipeline=list(pipeline),
            ignore_index=ignore_index,
            reduce_zero_label=reduce_zero_label,
            test_mode=test_mode,
            indices=indices,
            lazy_init=lazy_init,
        )

    def load_data_list(self) -> list[dict]:
        """One dict per image: paths, and the ids allowed in its mask."""
        images, masks = Path(self.data_prefix['img_path']), Path(self.data_prefix['seg_map_path'])
        for folder in (images, masks) if self.split else ():
            require_place(folder, self.split)
        names = [path.relative_to(images) for path in find_images(images)]
        missing = [path for name in names if not (path := masks / name.with_suffix('.png')).is_file()]
        if missing:
            raise FileNotFoundError(
                f'FolderSegDataset: {len(missing)} of {len(names)} images in {images} have no mask, the first of them '
                f'is {missing[0]}'
            )
        return [
            dict(
                img_path=str(images / name),
                seg_map_path=str(masks / name.with_suffix('.png')),
                num_classes=len(self.metainfo['classes']),
                ignore_index=self.ignore_index,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            for name in names
        ]

    def prepare_data(self, idx: int) -> dict:
        """Sample ``idx`` through the pipeline, whose errors name the image."""
        with naming_dataset_image(lambda: self.get_data_info(idx)):
            return super().prepare_data(idx)

    def notes(self) -> list[str]:
        """What is left out: other files than images, images and splits beside that of the dataset, unused masks."""
        images, masks = Path(self.data_prefix['img_path']), Path(self.data_prefix['seg_map_path'])
        found, others = list_images(images)
        lines = [f'{images}: {count_suffixes(others)} are left out'] if others else []
        if self.split:
            loose = direct_images(images.parent)
            lines += [f'{images.parent}: images in no folder of a split are left out: {len(loose)}'] * bool(loose)
            lines += [f'{images.parent}: {sentence}' for sentence in unread_beside(images, self.split)]
        wanted = {str(Path(name).with_suffix('')) for name in found}
        unused = [name for name in list_images(masks).images if str(Path(name).with_suffix('')) not in wanted]
        if unused:
            lines.append(f'{masks}: masks without an image are left out: {len(unused)}, the first is {unused[0]}')
        return lines

    @staticmethod
    def read_labels(info: dict) -> np.ndarray:
        """The mask of a sample, (H, W) uint8: 0 ... K - 1, and 255 where nothing is labelled.

        Args:
            info: the sample's entry, of :meth:`get_data_info`.

        Raises:
            OSError, ValueError: as :class:`LoadMask`, sizes aside.
        """
        path = info['seg_map_path']
        mask = load_image(path, decode_indices, 'mask')
        require_one_channel(mask, path)
        classes, ignored, reduced = (info[key] for key in ('num_classes', 'ignore_index', 'reduce_zero_label'))
        first, last = int(reduced), classes - 1 + reduced
        foreign = np.setdiff1d(np.unique(mask), [*range(last + 1), ignored])
        if len(foreign):
            hint = ''
            if not reduced and foreign.tolist() == [classes]:
                hint = '. If 0 is unlabelled and the classes are 1 to K, set reduce_zero_label=True in the datasets'
            raise ValueError(
                f'mask {path} holds the ids {", ".join(map(str, foreign[:10]))}{", ..." * (len(foreign) > 10)}, but '
                f'there are {classes} classes: ids are {first} to {last}, and {"0 or " * first}{ignored} where nothing '
                f'is labelled{hint}'
            )
        unlabelled = (mask == ignored) | (mask < first)
        return np.where(unlabelled, UNLABELLED, mask.astype(np.int32) - first).astype(np.uint8)


def _names_file(data_root: str) -> str:
    """The file of the class names in a folder, relative to it."""
    name = first_existing(data_root, 'classnames.txt', 'classes.txt')
    if not Path(data_root, name).exists():
        require_data_root(data_root)
        raise FileNotFoundError(
            f'{Path(data_root, name)} does not exist. It has one class name per line, in the order of the ids in the '
            'masks, and lies beside images/{train,val}/ and masks/{train,val}/'
        )
    return name


@TRANSFORMS.register_module()
class LoadMask(BaseTransform):
    """Read ``seg_map_path`` as ``gt_seg_map`` (H, W) uint8 and check it against the image and the classes.

    Comes after the image, in a pipeline of :class:`FolderSegDataset`.  Pixels that are not labelled become 255.

    Raises:
        OSError: the file cannot be decoded.
        ValueError: several channels, another size than the image, or ids that are not classes; the message names the
            file and the ids.
    """

    def transform(self, results: dict) -> dict:
        labels = FolderSegDataset.read_labels(results)
        require_mask_of_image(labels, results)
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')
        return results
