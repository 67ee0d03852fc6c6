"""Reports of ``check_dataset.py``: tables of counts, remarks, and all findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlprompt.datasets.checks.examine import Facts, examine_all
from vlprompt.datasets.checks.findings import Level
from vlprompt.datasets.checks.identities import DEFAULT_RULES, SearchRules
from vlprompt.datasets.checks.parts import BoxPart, ClassPart, IdentityPart, Part
from vlprompt.datasets.checks.views import base_datasets, parts_of, parts_of_reader
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.reader import Reader
from vlprompt.datasets.reid.readers.base import ReIDReader
from vlprompt.evaluation.shot_accuracy import CONVENTIONS, shot_groups


@dataclass
class Report:
    """What a check of a dataset found.

    Attributes:
        source: file or folder that was read.
        facts: parts, counts and findings.
        remarks: counts that are no findings, such as the imbalance of a long tail.
        failed: splits that could not be read, one line each.
    """

    source: str
    facts: Facts
    remarks: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What makes numbers meaningless, or training impossible."""
        return [*self.failed, *self.facts.of_level(Level.PROBLEM, Level.ERROR)]

    @property
    def notes(self) -> list[str]:
        """What is odd, and remarks."""
        return [*self.remarks, *self.facts.of_level(Level.NOTE)]

    def __str__(self) -> str:
        notes = [f'note: {note}' for note in self.notes]
        problems = [f'PROBLEM: {problem}' for problem in self.problems]
        lines = [self.source, '', *_tables(self.facts), *self.facts.lines, '', *notes, *problems]
        return '\n'.join([*lines, f'{len(self.problems)} problems'])


def check_reader(
    reader: Reader, shots: int | None = None, rules: SearchRules = DEFAULT_RULES, workers: int = 4
) -> Report:
    """Read all splits of a classification or re-identification dataset, open every image, and compare the splits.

    Args:
        reader: of the dataset.
        shots: images per class that a run draws for training.
        rules: of the metric of a re-identification test.
        workers: threads that open images.
    """
    splits: dict[str, Sequence] = {}
    failed: list[str] = []
    try:
        names = reader.SPLITS if isinstance(reader, ReIDReader) else reader.splits
        if isinstance(reader, SplitReader):
            _ = reader.classes
    except (ValueError, OSError) as error:
        names = ()
        failed.append(str(error))
    for split in names:
        try:
            splits[split] = reader.read(split)
        except (ValueError, OSError) as error:
            failed.append(str(error))
    if isinstance(reader, SplitReader):
        failed += reader.altered_files()
    parts = parts_of_reader(reader, splits, shots)
    facts = examine_all(parts, rules, workers)
    report = Report(str(reader.source), facts, failed=list(dict.fromkeys(failed)))
    for part in parts:
        if isinstance(part, ClassPart) and part.training:
            report.remarks += describe_tail(part)
    return report


def check_datasets(datasets: Mapping[str, Any], workers: int = 4) -> Report:
    """The same of datasets that are built: those of segmentation and detection, and any that list their samples.

    Args:
        datasets: ``'train'``, ``'val'``, ``'test'`` -> the dataset, or the error that building it raised.
        workers: threads that open images.
    """
    parts: list[Part] = []
    failed: list[str] = []
    for name, dataset in datasets.items():
        if isinstance(dataset, Exception):
            failed.append(f'{name}: {dataset}')
            continue
        found = parts_of(dataset, name)
        known = [(type(part), list(part.paths)) for part in parts if not part.training]
        parts += [part for part in found if (type(part), list(part.paths)) not in known]
        failed += skipped_entries(dataset, name)
    facts = examine_all(parts, workers=workers)
    source = ', '.join(dict.fromkeys(part.source for part in parts)) or 'no split can be read'
    return Report(source, facts, failed=list(dict.fromkeys(failed)))


def skipped_entries(dataset: Any, name: str) -> list[str]:
    """The broken entries that a dataset of annotations skipped, one line each."""
    return [f'{name}: {line}' for base in base_datasets(dataset) for line in getattr(base, 'skipped', ())]


def describe_tail(part: ClassPart) -> list[str]:
    """The imbalance of training images, and how many classes have many, medium and few of them; nothing if balanced."""
    counts = part.images
    if min(counts) in (0, max(counts)):
        return []
    lines = [
        f'training images per class: {max(counts)} to {min(counts)}, imbalance ratio {max(counts) / min(counts):.4g}'
    ]
    for convention in CONVENTIONS:
        sizes = (f'{len(labels)} {name}' for name, labels in shot_groups(counts, convention).items())
        lines.append(f'classes by training images, convention {convention}: {", ".join(sizes)}')
    return lines


# ------------------------------------------------------------------------------------------------------------- tables


def _tables(facts: Facts) -> list[str]:
    parts = facts.parts
    lines = _class_table({part.name: (part.classes, part.images) for part in parts if isinstance(part, ClassPart)})
    lines += _identity_table([part for part in parts if isinstance(part, IdentityPart)])
    boxes = {part.name: (part.classes, part.per_class) for part in parts if isinstance(part, BoxPart)}
    if boxes:
        lines += ['boxes', *_class_table(boxes)]
    masks = {
        parts[i].name: (parts[i].classes, counts.pixels.tolist() + [counts.ignored])
        for i, counts in facts.masks.items()
    }
    if masks:
        lines += ['pixels', *_class_table({name: ([*c, '(unlabelled)'], n) for name, (c, n) in masks.items()})]
    return lines


def _class_table(columns: Mapping[str, tuple[Sequence[str], Sequence[int]]]) -> list[str]:
    """A line for each class, a column for each split."""
    if not columns:
        return []
    classes = max((names for names, _ in columns.values()), key=len)
    width = max(map(len, ['class', 'total', *classes]))
    size = max(8, *(len(str(sum(counts))) for _, counts in columns.values()))
    lines = ['  '.join([f'label  {"class":{width}}', *(f'{split:>{size}}' for split in columns)])]
    for label, name in enumerate(classes):
        numbers = (f'{counts[label] if label < len(counts) else 0:{size}d}' for _, counts in columns.values())
        lines.append('  '.join([f'{label:5d}  {name:{width}}', *numbers]))
    totals = (f'{sum(counts):{size}d}' for _, counts in columns.values())
    return [*lines, '  '.join([f'{"":5}  {"total":{width}}', *totals]), '']


def _identity_table(parts: Sequence[IdentityPart]) -> list[str]:
    if not parts:
        return []
    lines = ['split     identities  images  cameras  views  images per identity']
    for part in parts:
        images = Counter(part.pids)
        cameras, views = len(set(part.camids)), len(set(part.viewids))
        each = f'{min(images.values())} to {max(images.values())}, mean {len(part.pids) / len(images):.1f}'
        lines.append(f'{part.name:8}  {len(images):10}  {len(part.pids):6}  {cameras:7}  {views:5}  {each}')
    return [*lines, '']
