"""COCO annotation files, checked entry by entry before training; needs no mmdet."""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from vlprompt.files import is_text, read_json
from vlprompt.messages import enumerate_names

BROKEN = ('error', 'skip')
FARTHEST = 1e6
"""Largest valid coordinate in pixels; pycocotools fails on larger polygons."""


class CocoError(ValueError):
    """An annotation file that cannot be used as it is; the message names the file and the entry."""


def read_coco(
    ann_file: str | Path,
    image_folder: str | Path | None = None,
    classes: Sequence[str] | None = None,
    masks: bool = False,
    broken: str = 'error',
) -> tuple[dict[str, Any], list[str]]:
    """Read an annotation file in COCO's form and check every entry.

    ``images`` need id, file_name, width and height; ``categories`` id and name; ``annotations`` id, image_id,
    category_id and bbox.  A missing ``area`` becomes the area of the mask, or else of the box; a missing ``iscrowd``
    becomes 0.

    Args:
        ann_file: the JSON file.
        image_folder: where the images must exist; None: images are not checked.
        classes: names of the categories to keep, in the order of the labels; None: all, in the file's order.
            Annotations of other categories are dropped, but do not count as broken.
        masks: every object needs a mask.  Otherwise masks are optional, but must be valid.
        broken: ``'error'`` raises at a broken entry, ``'skip'`` drops it.

    Returns:
        The content, ``categories`` in the order of the labels, and one line for every entry that was skipped.

    Raises:
        FileNotFoundError: no such file.
        CocoError: not JSON, one of the three lists is missing, duplicate categories, ``classes`` with a name twice or
            one that is no category, or a broken entry with ``broken='error'``: a box that is empty, not finite or
            entirely outside the image; a mask that is empty, malformed or of another size; an unknown image or
            category; a missing field, a number used twice, a missing image file.  Also, whatever ``broken`` says,
            several entries of one image file: leaving all but one out would drop boxes of the image.
    """
    if broken not in BROKEN:
        raise ValueError(f'broken must be one of {BROKEN}, got {broken!r}')
    content = _load(Path(ann_file))
    checker = _Checker(Path(ann_file), broken)
    categories = checker.categories(content['categories'], classes)
    checker.refuse_copies(content['images'])
    images = checker.keep('image', content['images'], lambda image: _image_problem(image, image_folder))
    wanted = {category['id'] for category in categories}
    others = {category['id'] for category in content['categories']} - wanted
    sizes = {image['id']: (image['height'], image['width']) for image in images}
    ids = [image.get('id') for image in content['images'] if isinstance(image, Mapping)]
    lost = {number for number in ids if isinstance(number, int)} - set(sizes)
    asked_for = (a for a in content['annotations'] if not _belongs(a, others, lost))
    annotations = checker.keep(
        'annotation', asked_for, lambda annotation: _annotation_problem(annotation, sizes, wanted, masks)
    )
    content |= dict(categories=categories, images=images, annotations=[_completed(a, sizes) for a in annotations])
    return content, checker.skipped


def category_names(ann_file: str | Path) -> list[str]:
    """Names of the categories, in the file's order.

    Raises:
        FileNotFoundError, CocoError: as in :func:`read_coco`.
    """
    path = Path(ann_file)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    return list(_names_in(path, changed))


@lru_cache(maxsize=8)  # the file of a training tells the order of the labels to all splits
def _names_in(path: Path, changed: int) -> tuple[str, ...]:
    """The names in a file that was ``changed`` at that time."""
    return tuple(category['name'] for category in _Checker(path, 'error').categories(_load(path)['categories'], None))


def shared_names(train_file: str | Path, ann_file: str | Path) -> list[str]:
    """Names of the categories in the order of the training file, which are those of another file in any order.

    Raises:
        FileNotFoundError: as in :func:`read_coco`.
        CocoError: as in :func:`read_coco`; also if a category is in one of the files only.
    """
    names, own = category_names(train_file), category_names(ann_file)
    differences = [
        f'{verb} {enumerate_names(map(repr, found), 5)}'
        for verb, found in (
            ('lacks', [name for name in names if name not in own]),
            ('adds', [name for name in own if name not in names]),
        )
        if found
    ]
    if differences:
        common = ','.join(name for name in names if name in own)
        choice = (
            f", or choose those of both: classes=[{common}] (vlprompt train --cfg-options classes='[{common}]')"
            if common
            else ''
        )
        raise CocoError(
            f'{ann_file}: its categories are not those of {train_file}: it {" and ".join(differences)}. List the same '
            f'names in "categories" of both files, with or without annotations{choice}'
        )
    return names


def _load(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, 'annotation file')
    except ValueError as error:
        raise CocoError(str(error)) from error
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(content, Mapping) or not isinstance(content.get(key), list):
            raise CocoError(f'{path} is not in COCO\'s form: it has no list "{key}"')
    return dict(content)


class _Checker:
    """Checks the entries of one file; raises at a broken one, or records and drops it."""

    def __init__(self, path: Path, broken: str) -> None:
        self.path, self.broken = path, broken
        self.skipped: list[str] = []

    def keep(self, kind: str, entries: Iterable[Any], problem_of: Callable[[Mapping], str | None]) -> list[dict]:
        """Entries without a problem."""
        kept, seen = [], set()
        for position, entry in enumerate(entries):
            if not isinstance(entry, Mapping) or not isinstance(entry.get('id'), int):
                problem, name = 'it has no id (a whole number)', f'{kind} at position {position}'
            else:
                name = f'{kind} {entry["id"]}'
                problem = 'its id is used twice' if entry['id'] in seen else problem_of(entry)
            if problem is None:
                seen.add(entry['id'])
                kept.append(dict(entry))
            elif self.broken == 'error':
                raise CocoError(
                    f"{self.path}: {name}: {problem}. Correct the file, or set broken='skip' in the dataset to leave "
                    'broken entries out'
                )
            else:
                self.skipped.append(f'{name}: {problem}')
        return kept

    def refuse_copies(self, entries: Sequence[Any]) -> None:
        """Raise if several image entries name the same file, so that each has only some of its objects."""
        numbers: dict[str, list[Any]] = {}
        for entry in entries:
            if isinstance(entry, Mapping) and isinstance(entry.get('file_name'), str):
                numbers.setdefault(posixpath.normpath(entry['file_name']), []).append(entry.get('id'))
        copies = {name: found for name, found in numbers.items() if len(found) > 1}
        if copies:
            name, found = next(iter(copies.items()))
            others = f', and so are the entries of {len(copies) - 1} more files' if len(copies) > 1 else ''
            more = f' and {len(found) - 5} more' if len(found) > 5 else ''
            listed = ', '.join(map(str, found[:5])) if more else f'{", ".join(map(str, found[:-1]))} and {found[-1]}'
            raise CocoError(
                f'{self.path}: images {listed}{more} are the same file {name!r}{others}. Give an image one entry, and '
                'its id to all of its annotations'
            )

    def categories(self, entries: list, classes: Sequence[str] | None) -> list[dict]:
        """The categories of ``classes`` in that order; a mistake in them cannot be skipped."""
        for position, entry in enumerate(entries):
            sound = isinstance(entry, Mapping) and isinstance(entry.get('id'), int)
            if not sound or not isinstance(entry.get('name'), str) or not entry['name']:
                raise CocoError(f'{self.path}: category at position {position} has no id (a whole number) or no name')
            if not is_text(entry['name']):
                raise CocoError(
                    f'{self.path}: the name of category {entry["id"]}, {entry["name"]!r}, is not UTF-8 text'
                )
        for key in ('id', 'name'):
            twice = [value for value, count in Counter(entry[key] for entry in entries).items() if count > 1]
            if twice:
                raise CocoError(f'{self.path}: two categories have the {key} {twice[0]!r}')
        if classes is None:
            return [dict(entry) for entry in entries]
        twice = [name for name, count in Counter(classes).items() if count > 1]
        if twice:
            raise CocoError(f'{self.path}: classes names {twice[0]!r} twice; each label needs a category of its own')
        by_name = {entry['name']: dict(entry) for entry in entries}
        absent = [name for name in classes if name not in by_name]
        if absent:
            raise CocoError(
                f'{self.path} has no category {enumerate_names(map(repr, absent), 5)}; it has {", ".join(by_name)}. '
                'Correct classes, or add to "categories" what no image shows'
            )
        return [by_name[name] for name in classes]


def _belongs(annotation: Any, categories: set, images: set) -> bool:
    """Whether the annotation is of an unselected category, or of an image that was reported itself."""
    return isinstance(annotation, Mapping) and (
        _is_in(annotation.get('category_id'), categories) or _is_in(annotation.get('image_id'), images)
    )


def _is_in(number: Any, known: Container) -> bool:
    return isinstance(number, (int, float)) and number in known


def _image_problem(image: Mapping, folder: str | Path | None) -> str | None:
    if not isinstance(image.get('file_name'), str) or not image['file_name']:
        return 'it has no file_name'
    for key in ('width', 'height'):
        if not isinstance(image.get(key), int) or image[key] < 1:
            return f'its {key} is {image.get(key)!r}, not a positive whole number'
    if folder is not None and not Path(folder, image['file_name']).is_file():
        return f'the file {Path(folder, image["file_name"])} does not exist'
    return None


def _annotation_problem(annotation: Mapping, sizes: Mapping, categories: set, masks: bool) -> str | None:
    for key in ('image_id', 'category_id', 'bbox'):
        if key not in annotation:
            return f'it has no {key}'
    if not _is_in(annotation['image_id'], sizes):
        return f'there is no image {annotation["image_id"]!r}'
    if not _is_in(annotation['category_id'], categories):
        return f'there is no category {annotation["category_id"]!r}'
    size = sizes[annotation['image_id']]
    if problem := _box_problem(annotation['bbox'], size):
        return problem
    area = annotation.get('area', 1)
    if not _finite([area]) or area <= 0:
        return f'its area is {area!r}'
    if annotation.get('iscrowd', 0) not in (0, 1):
        return f'its iscrowd is {annotation["iscrowd"]!r}, neither 0 nor 1'
    if annotation.get('segmentation') or masks:
        return _mask_problem(annotation.get('segmentation'), size)
    return None


def _box_problem(box: Any, size: tuple[int, int]) -> str | None:
    if not isinstance(box, Sequence) or len(box) != 4 or not _finite(box, FARTHEST):
        return f'its bbox {box!r} is not four finite numbers of pixels x, y, width, height'
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return f'its bbox {box!r} is empty'
    if x >= size[1] or y >= size[0] or x + width <= 0 or y + height <= 0:
        return f'its bbox {box!r} is outside the image of {size[1]} x {size[0]} pixels'
    return None


def _mask_problem(mask: Any, size: tuple[int, int]) -> str | None:
    if not mask:
        return 'it has no mask'
    if isinstance(mask, list):
        return _polygons_problem(mask, size)
    if not isinstance(mask, Mapping) or not {'size', 'counts'} <= set(mask):
        return 'its segmentation is neither a list of polygons nor runs with size and counts'
    if mask['size'] != list(size):
        return f'its mask has the size {mask["size"]}, the image {list(size)} (height, width)'
    runs = run_lengths(mask['counts']) if isinstance(mask['counts'], str) else mask['counts']
    whole = isinstance(runs, list) and all(isinstance(run, int) and run >= 0 for run in runs)
    if not whole or sum(runs) != math.prod(size):
        return 'the runs of its mask do not add up to the pixels of the image'
    return None if sum(runs[1::2]) else 'its mask is empty'


def _polygons_problem(polygons: list, size: tuple[int, int]) -> str | None:
    if not all(isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 for part in polygons):
        return 'one of its polygons has fewer than three corners, or half a corner'
    if not all(_finite(part, FARTHEST) for part in polygons):
        return 'its polygons must hold finite numbers of pixels'
    return None if coco_mask.area(_runs(polygons, size)) else 'its mask is empty'


def run_lengths(counts: str) -> list[int] | None:
    """The runs in a string of COCO's compressed form, zeros first; None if it is truncated.

    Characters from '0' on carry five bits each, low bits first, and a continuation flag; from the third on, runs are
    stored as differences to the last but one.  pycocotools decodes anything, so only their sum reveals damage.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (bits & 0x10) << (shift - 4)  # the sign: the highest of the five bits
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def _runs(mask: Any, size: tuple[int, int]) -> dict:
    """A mask in compressed runs."""
    if isinstance(mask, list):
        return coco_mask.merge(coco_mask.frPyObjects(mask, *size))
    return coco_mask.frPyObjects(mask, *size) if isinstance(mask['counts'], list) else mask


def _finite(values: Iterable[Any], limit: float = 1e18) -> bool:
    """Whether all are numbers between plus and minus ``limit``, and none is NaN."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and -limit <= v <= limit for v in values)


def _completed(annotation: dict, sizes: Mapping) -> dict:
    annotation.setdefault('iscrowd', 0)
    if 'area' not in annotation:
        mask = annotation.get('segmentation')
        annotation['area'] = (
            float(coco_mask.area(_runs(mask, sizes[annotation['image_id']])))
            if mask
            else float(annotation['bbox'][2] * annotation['bbox'][3])
        )
    return annotation
