"""Checks of classes: which of them have no image, one, or fewer than are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from vlprompt.clip.classnames import compare_class_names
from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.parts import BoxPart, ClassPart, MaskPart
from vlprompt.messages import counted, enumerate_names


def check_classes(part: ClassPart) -> Iterator[Finding]:
    """Findings in the classes of labelled images."""
    yield from check_names(part.name, part.classes)
    level = Level.ERROR if part.training else Level.NOTE  # a classifier cannot learn a class without images
    yield from absent_classes(part.name, part.classes, part.images, 'image', level)
    if not part.training:
        return
    if part.shots is not None:
        few = [f'{name} ({count})' for name, count in zip(part.classes, part.images, strict=True) if count < part.shots]
        if few:
            yield Finding(
                Level.NOTE,
                f'{part.name}: {_have(len(few))} fewer than {part.shots} images and are taken whole: '
                f'{enumerate_names(few, 5)}',
            )
    if part.shots != 1:
        yield from single_image_classes(part.name, part.classes, part.images)


def check_names(part: str, classes: Sequence[str]) -> Iterator[Finding]:
    """One class only, or several of the same name."""
    if len(classes) == 1:
        yield Finding(Level.PROBLEM, f'{part}: there is one class only, {classes[0]!r}, so every prediction is right')
    for name, count in Counter(classes).items():
        if count > 1:
            yield Finding(Level.NOTE, f'{part}: {count} classes are called {name!r}; no prompt can tell them apart')


OPTION = {
    ClassPart: 'classes=[...] of the datasets',
    MaskPart: 'class_names=[...] of the datasets (metainfo.classes in those of mmseg)',
    BoxPart: 'classes=[...] of the datasets (metainfo.classes in those of mmdet)',
}
"""Kind of a part -> what gives its classes, and their order."""


def check_same_classes(
    train: ClassPart | MaskPart | BoxPart, other: ClassPart | MaskPart | BoxPart
) -> Iterator[Finding]:
    """Classes of another part that are not those of the training, label by label, so that predictions mean others."""
    difference = compare_class_names(train.classes, other.classes, train.name, other.name)
    if difference is not None:
        yield Finding(
            Level.ERROR,
            f'{other.name}: labels do not mean the classes of {train.name}: {difference}. Give both the same names in '
            f'the same order, by {OPTION[type(other)]}',
        )


def absent_classes(
    part: str, classes: Sequence[str], counts: Sequence[int], what: str, level: Level = Level.NOTE
) -> Iterator[Finding]:
    """Classes that are not annotated at all; ``what`` is counted."""
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        text = f'{part}: no {what} of {len(absent)} of {counted(len(classes), "class", "classes")}'
        yield Finding(level, f'{text}: {enumerate_names(absent, 5)}')


def single_image_classes(part: str, classes: Sequence[str], images: Sequence[int]) -> Iterator[Finding]:
    """Classes that are in one image only."""
    single = [name for name, count in zip(classes, images, strict=True) if count == 1]
    if single:
        yield Finding(Level.NOTE, f'{part}: {_have(len(single))} one image only: {enumerate_names(single, 5)}')


def _have(number: int) -> str:
    return f'{counted(number, "class", "classes")} {"has" if number == 1 else "have"}'
