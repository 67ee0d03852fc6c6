"""Datasets and readers as parts, whatever package they come from: by what their samples hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vlprompt.datasets.checks.parts import BoxPart, ClassPart, IdentityPart, MaskPart, Part
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.classification.readers.text_list import ListReader
from vlprompt.datasets.dense.coco_json import category_names
from vlprompt.datasets.dense.mask_size import require_one_channel
from vlprompt.datasets.images import load_image
from vlprompt.datasets.pixels import decode_indices
from vlprompt.datasets.reader import Reader
from vlprompt.datasets.reid.readers.base import ReIDReader
from vlprompt.messages import enumerate_names


def base_datasets(dataset: Any) -> list[Any]:
    """The datasets inside of wrappers such as ``RepeatDataset`` or ``ConcatDataset``, at any depth."""
    inner = getattr(dataset, 'datasets', None)
    if isinstance(inner, Sequence):
        return [base for single in inner for base in base_datasets(single)]
    inner = getattr(dataset, 'dataset', None)
    if inner is None or isinstance(inner, str):  # the name of a supported dataset
        return [dataset]
    return base_datasets(inner)


def parts_of(dataset: Any, name: str) -> list[Part]:
    """The parts of a dataset, those of the same classes joined.

    Args:
        dataset: of any type with ``get_data_info``, perhaps in wrappers.
        name: of its split in messages; a re-identification test set has the parts ``'query'`` and ``'gallery'``.

    Raises:
        TypeError: samples of a kind that is not known.
    """
    parts: list[Part] = []
    for base in base_datasets(dataset):
        for part in _parts_of_base(base, name):
            like = next((i for i, other in enumerate(parts) if _can_join(other, part)), None)
            if like is None:
                parts.append(part)
            else:
                parts[like] = _joined(parts[like], part)
    return parts


def parts_of_reader(reader: Reader, splits: Mapping[str, Sequence], shots: int | None = None) -> list[Part]:
    """The parts of splits that a reader has read.

    Args:
        reader: of a classification or re-identification dataset.
        splits: name -> items.
        shots: images per class that a run draws for training.
    """
    notes = reader.notes()
    parts = []
    for name, items in splits.items():
        common = dict(name=name, source=str(reader.source), root=str(reader.image_root), notes=notes)
        common['paths'] = [str(reader.image_root / item.path) for item in items]
        if isinstance(reader, ReIDReader):
            fields = dict(
                pids=[i.pid for i in items], camids=[i.camid for i in items], viewids=[i.viewid for i in items]
            )
            known = dict(one_numbering=reader.one_numbering, cameras_known=reader.cameras_known)
            parts.append(IdentityPart(**common, **fields, **known))
        elif isinstance(reader, SplitReader):
            parts.append(ClassPart(**common, labels=[i.label for i in items], classes=reader.classes, shots=shots))
        else:
            raise TypeError(f'{type(reader).__name__} reads neither labels nor identities')
    return parts


def _parts_of_base(dataset: Any, name: str) -> list[Part]:
    if not hasattr(dataset, 'get_data_info'):
        raise TypeError(f'{type(dataset).__name__} has no get_data_info')
    dataset.full_init()
    reader = getattr(dataset, 'reader', None)
    source = str(getattr(reader, 'source', '') or getattr(dataset, 'ann_file', '') or _image_root(dataset))
    notes = dataset.notes() if hasattr(dataset, 'notes') else []
    common = dict(name=name, source=source, root=_image_root(dataset), notes=notes)
    if not len(dataset):
        return [Part(**common)]
    first = dataset.get_data_info(0)
    if 'img_path' not in first:
        raise TypeError(f'samples of {type(dataset).__name__} have no img_path')
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))  # one at a time: polygons may be large
    classes = list(dataset.metainfo.get('classes') or ())
    if 'pid' in first:
        return _identity_parts(infos, common, reader)
    if 'gt_label' in first:
        pairs = [(info['img_path'], info['gt_label']) for info in infos]
        paths, labels = map(list, zip(*pairs, strict=True))
        shots = getattr(dataset, 'shots', None)
        unsplit = reader.hint_about_splits() if isinstance(reader, ListReader) and reader.is_one_split() else ''
        return [ClassPart(**common, paths=paths, labels=labels, classes=classes, shots=shots, unsplit=unsplit)]
    if 'instances' in first:
        _require_labels_in_order(dataset, classes)
        return [_box_part(infos, common, classes)]
    if first.get('seg_map_path') is not None:
        return [_mask_part(dataset, list(infos), common, classes)]
    raise TypeError(f'samples of {type(dataset).__name__} have neither a label, nor an identity, boxes or a mask')


def _require_labels_in_order(dataset: Any, classes: list[str]) -> None:
    """Raise a ValueError if mmdet's labels of COCO categories mean others than ``metainfo.classes`` at their position.

    It numbers those of its classes that the file has, in the file's order; ``CocoInstances`` sorts them before.
    """
    ids = getattr(dataset, 'cat_ids', None)
    if ids is None or 'coco' in dataset.metainfo:
        return
    usual = list(getattr(dataset, 'METAINFO', {}).get('classes') or ())
    if len(ids) == len(classes) == len(usual) and classes == usual:
        return
    names = category_names(dataset.ann_file)
    if [name for name in names if name in classes] != classes:
        raise ValueError(
            f'{dataset.ann_file}: its categories are {enumerate_names(names, 10)}, but metainfo.classes of '
            f'{type(dataset).__name__} are {enumerate_names(classes, 10)}: mmdet labels those that it finds in the '
            "order of the file. List them in this order, or use the type 'vlprompt.CocoInstances' with classes=[...]"
        )


def _image_root(dataset: Any) -> str:
    prefix = getattr(dataset, 'data_prefix', None) or {}
    root = prefix.get('img') or prefix.get('img_path') or getattr(dataset, 'data_root', None)
    return str(root or '').rstrip('/')


def _identity_parts(infos: Iterable[dict], common: dict[str, Any], reader: Reader | None) -> list[Part]:
    known = dict(
        one_numbering=getattr(reader, 'one_numbering', True), cameras_known=getattr(reader, 'cameras_known', True)
    )
    rows: dict[str, list[tuple]] = {}
    for info in infos:
        row = (info['img_path'], info['pid'], info.get('camid', 0), info.get('viewid', 0))
        rows.setdefault(info.get('role', common['name']), []).append(row)
    parts = []
    for role, own in rows.items():
        paths, pids, camids, viewids = map(list, zip(*own, strict=True))
        named = dict(common, name=role, paths=paths)
        parts.append(IdentityPart(**named, pids=pids, camids=camids, viewids=viewids, **known))
    return parts


def _box_part(infos: Iterable[dict], common: dict[str, Any], classes: list[str]) -> BoxPart:
    paths, sizes, boxes, owners, labels = [], [], [], [], []
    for number, info in enumerate(infos):
        paths.append(info['img_path'])
        sizes.append((info['width'], info['height']))
        for instance in info['instances']:
            if not instance.get('ignore_flag'):
                boxes.append(instance['bbox'])
                owners.append(number)
                labels.append(instance['bbox_label'])
    return BoxPart(
        **common,
        paths=paths,
        sizes=np.array(sizes, dtype=float),
        boxes=np.array(boxes, dtype=float).reshape(-1, 4),
        owners=np.array(owners, dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        classes=classes,
    )


def _mask_part(dataset: Any, infos: list[dict], common: dict[str, Any], classes: list[str]) -> MaskPart:
    ignored = 255
    read = getattr(dataset, 'read_labels', None)
    if read is None:
        ignored = getattr(dataset, 'ignore_index', 255)
        read = partial(read_mmseg_labels, classes=len(classes), ignored=ignored)
    paths, masks = ([info[key] for info in infos] for key in ('img_path', 'seg_map_path'))
    return MaskPart(**common, paths=paths, masks=masks, classes=classes, read_labels=_nth(read, infos), ignored=ignored)


def _nth(read: Callable[[dict], np.ndarray], infos: list[dict]) -> Callable[[int], np.ndarray]:
    return lambda index: read(infos[index])


def read_mmseg_labels(info: Mapping[str, Any], classes: int, ignored: int = 255) -> np.ndarray:
    """The mask of a sample of one of mmseg's datasets as its ``LoadAnnotations`` reads it, (H, W) uint8.

    Args:
        info: with ``seg_map_path``, ``reduce_zero_label`` and ``label_map``.
        classes: their number.
        ignored: the label of pixels without one.

    Raises:
        OSError: the file cannot be read.
        ValueError: several channels, or labels that are no classes; the message names the file.
    """
    path = info['seg_map_path']
    mask = load_image(path, decode_indices, 'mask')
    require_one_channel(mask, path)
    labels = mask.astype(np.uint8)
    if info.get('reduce_zero_label'):
        labels = np.where(np.isin(labels, (0, 255)), 255, labels - 1).astype(np.uint8)
    if info.get('label_map'):
        before = labels.copy()
        for old, new in info['label_map'].items():
            labels[before == old] = new
    foreign = np.setdiff1d(np.unique(labels), [*range(classes), ignored])
    if len(foreign):
        shown = ', '.join(map(str, foreign[:10])) + ', ...' * (len(foreign) > 10)
        raise ValueError(f'mask {path} holds the labels {shown}, but there are {classes} classes')
    return labels


def _can_join(first: Part, second: Part) -> bool:
    kinds = (ClassPart, MaskPart, BoxPart)
    same = type(first) is type(second) and isinstance(first, kinds) and first.name == second.name
    return (
        same
        and list(first.classes) == list(second.classes)
        and getattr(first, 'ignored', 0) == getattr(second, 'ignored', 0)
    )


def _joined(first: Part, second: Part) -> Part:
    size = len(first.paths)
    root = first.root if first.root == second.root else ''
    common = dict(
        source=', '.join(dict.fromkeys((first.source, second.source))),
        root=root,
        paths=[*first.paths, *second.paths],
        notes=list(dict.fromkeys((*first.notes, *second.notes))),
    )
    if isinstance(first, ClassPart):
        return replace(first, **common, labels=[*first.labels, *second.labels])
    if isinstance(first, MaskPart):
        own, other = first.read_labels, second.read_labels
        read = lambda index: own(index) if index < size else other(index - size)  # noqa: E731
        return replace(first, **common, masks=[*first.masks, *second.masks], read_labels=read)
    arrays = {key: np.concatenate([getattr(first, key), getattr(second, key)]) for key in ('sizes', 'boxes', 'labels')}
    return replace(first, **common, **arrays, owners=np.concatenate([first.owners, second.owners + size]))
