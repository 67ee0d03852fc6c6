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
from vlprompt.datasets.dense.palette import mask_palette
from vlprompt.datasets.exif import Orientation
from vlprompt.datasets.images import find_images, load_image, naming_image
from vlprompt.datasets.pixels import decode_indices
from vlprompt.datasets.reader import first_existing
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

    With ``reduce_zero_label`` the ids in the files are 1 ... K, and 0 is unlabelled.

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
        masks = masks or first_existing(data_root, 'masks', 'annotations')
        class_names = class_names or first_existing(data_root, 'classnames.txt', 'classes.txt')
        if isinstance(class_names, str):
            class_names = str(Path(data_root, class_names))
        names = resolve_class_names(class_names)
        if len(names) > UNLABELLED:
            raise ValueError(f'FolderSegDataset: {len(names)} classes, but 8-bit masks have room for {UNLABELLED}')
        first = int(reduce_zero_label)
        if first <= ignore_index < len(names) + first:
            zero = '' if ignore_index else '; if 0 is unlabelled and the classes are 1 to K, set reduce_zero_label=True'
            raise ValueError(
                f'FolderSegDataset: ignore_index={ignore_index} is the id of class {names[ignore_index - first]!r}; '
                f'unlabelled pixels need an id of their own, {"0 or " * first}{len(names) + first} to 255{zero}'
            )
        palette = mask_palette(len(names), reduce_zero_label) if palette is None else [list(c) for c in palette]
        if len(palette) != len(names):
            raise ValueError(f'FolderSegDataset: {len(names)} class names, but {len(palette)} colours in palette')
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
        with naming_image(lambda: self.get_data_info(idx)):
            return super().prepare_data(idx)


@TRANSFORMS.register_module()
class LoadMask(BaseTransform):
    """Read ``seg_map_path`` as ``gt_seg_map`` (H, W) uint8 and check it against the image and the classes.

    Comes after the image; the dataset must provide ``num_classes``, ``ignore_index`` and ``reduce_zero_label``, as
    :class:`FolderSegDataset` does.  Pixels of ``ignore_index`` become 255; with ``reduce_zero_label`` those of 0 too,
    and every other id becomes one less.

    Raises:
        OSError: the file cannot be decoded.
        ValueError: several channels, another size than the image, or ids that are not classes; the message names the
            file and the ids.
    """

    def transform(self, results: dict) -> dict:
        path = results['seg_map_path']
        mask = load_image(path, decode_indices, 'mask')
        self._check(mask, path, results)
        unlabelled = mask == results['ignore_index']
        if results['reduce_zero_label']:
            unlabelled |= mask == 0
            mask = mask.astype(np.int64) - 1
        results['gt_seg_map'] = np.where(unlabelled, UNLABELLED, mask).astype(np.uint8)
        results['seg_fields'].append('gt_seg_map')
        return results

    @staticmethod
    def _check(mask: np.ndarray, path: str, results: dict) -> None:
        if mask.ndim != 2:
            raise ValueError(
                f'mask {path} has {mask.shape[-1]} channels; it must have one, the class id of every pixel. '
                'Save it as 8-bit grey or palette PNG'
            )
        if mask.shape != tuple(results['ori_shape']):
            (h, w), (rows, columns) = mask.shape, results['ori_shape']
            exif = results.get('exif', Orientation())
            raise ValueError(
                f'mask {path} is {w} x {h} pixels, but its image {results["img_path"]} is {columns} x {rows}'
                f'{exif.explains((columns, rows), (w, h))}'
            )
        classes, ignored, reduced = (results[key] for key in ('num_classes', 'ignore_index', 'reduce_zero_label'))
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
