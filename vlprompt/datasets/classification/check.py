"""Check a dataset and report all problems instead of stopping at the first."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.images import load_image
from vlprompt.datasets.pixels import decode_rgb
from vlprompt.evaluation.shot_accuracy import CONVENTIONS, shot_groups


@dataclass
class Findings:
    """Findings of a check.

    Attributes:
        source: file or folder that was read.
        problems: one line each; empty if there are none.
        notes: findings that are not errors.
    """

    source: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Notes, problems, and the number of problems."""
        lines = [f'note: {note}' for note in self.notes]
        lines += [f'PROBLEM: {problem}' for problem in self.problems]
        return [*lines, f'{len(self.problems)} problems']


@dataclass
class DatasetReport(Findings):
    """Findings of :func:`check_dataset`.

    Attributes:
        classes: class names in label order; empty if they could not be read.
        counts: split -> images per label.
    """

    classes: list[str] = field(default_factory=list)
    counts: dict[str, Counter] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(map(len, ['class', 'total', *self.classes]))
        lines = [f'{self.source}: {len(self.classes)} classes', '']
        lines.append('  '.join([f'label  {"class":{width}}', *(f'{split:>8}' for split in self.counts)]))
        for label, name in enumerate(self.classes):
            numbers = (f'{count[label]:8d}' for count in self.counts.values())
            lines.append('  '.join([f'{label:5d}  {name:{width}}', *numbers]))
        totals = (f'{count.total():8d}' for count in self.counts.values())
        lines += ['  '.join([f'{"":5}  {"total":{width}}', *totals]), '']
        return '\n'.join([*lines, *self.lines()])


def check_dataset(reader: SplitReader, workers: int = 4) -> DatasetReport:
    """Read all splits, open every image, and compare the splits.

    Problems are: entries that the reader rejects (label gaps, unknown or twice-used names, duplicates, ...),
    lists that are not the published ones (by md5), missing and undecodable images, classes without training images,
    and images that are in two splits, by path or by content (the bytes of the file).  Identical files within a split
    and classes without test images are notes.

    Args:
        reader: of the dataset.
        workers: threads that open images.
    """
    report = DatasetReport(str(reader.source))
    splits = _read(reader, report)
    report.problems += reader.altered_files()
    _compare_classes(splits, report)
    files = _same_split_once(splits)
    compare_paths(files, report)
    open_images(reader.image_root, files, workers, report)
    return report


def _read(reader: SplitReader, report: DatasetReport) -> dict[str, list[Item]]:
    splits: dict[str, list[Item]] = {}
    try:
        report.classes = reader.classes
        names = reader.splits
    except (ValueError, OSError) as error:
        report.problems.append(str(error))
        return splits
    for split in names:
        try:
            splits[split] = reader.read(split)
        except (ValueError, OSError) as error:
            report.problems.append(str(error))
        else:
            report.counts[split] = Counter(item.label for item in splits[split])
    return splits


def _compare_classes(splits: dict[str, list[Item]], report: DatasetReport) -> None:
    for name, count in Counter(report.classes).items():
        if count > 1:
            report.notes.append(f'{count} classes are called {name!r}; no prompt can tell them apart')
    for split, count in report.counts.items():
        without = [name for label, name in enumerate(report.classes) if not count[label]]
        if without:
            report.notes.append(f'{split} has no image of {len(without)} classes: {", ".join(without[:10])}')
    _describe_tail(report)


def _describe_tail(report: DatasetReport) -> None:
    """Note the imbalance of the training images, if any."""
    counts = [report.counts.get('train', Counter())[label] for label in range(len(report.classes))]
    if not counts or min(counts) in (0, max(counts)):
        return
    report.notes.append(
        f'training images per class: {max(counts)} to {min(counts)}, imbalance ratio {max(counts) / min(counts):.4g}'
    )
    for convention in CONVENTIONS:
        sizes = (f'{len(labels)} {name}' for name, labels in shot_groups(counts, convention).items())
        report.notes.append(f'classes by training images, convention {convention}: {", ".join(sizes)}')


def _same_split_once(splits: dict[str, list[Item]]) -> dict[str, list[str]]:
    """Paths per split; a split that equals an earlier one (ImageNet's val and test) only once."""
    files: dict[str, list[str]] = {}
    for split, items in splits.items():
        paths = [item.path for item in items]
        if paths not in files.values():
            files[split] = paths
    return files


def compare_paths(files: dict[str, list[str]], report: Findings) -> None:
    """Report paths that are in two splits."""
    first: dict[str, str] = {}
    for split, paths in files.items():
        for path in paths:
            if first.setdefault(path, split) != split:
                report.problems.append(f'leak: {path} is in {first[path]} and in {split}')


def open_images(root: Path, files: dict[str, list[str]], workers: int, report: Findings) -> None:
    """Report images that are missing, cannot be decoded, or have the same bytes as one in another split."""
    jobs: dict[str, str] = {}
    for split, paths in files.items():
        for path in paths:
            jobs.setdefault(path, split)
    seen: dict[bytes, tuple[str, str]] = {}
    repeated = Counter()
    with ThreadPoolExecutor(workers) as pool:
        digests: Iterable[bytes | str] = pool.map(lambda path: _digest(root / path), jobs)
        for (path, split), digest in zip(jobs.items(), digests, strict=True):
            if isinstance(digest, str):
                report.problems.append(digest)
                continue
            other, other_split = seen.setdefault(digest, (path, split))
            if other_split != split:
                report.problems.append(f'leak: {path} in {split} is the same file as {other} in {other_split}')
            elif other != path:
                repeated[split] += 1
    for split, count in repeated.items():
        report.notes.append(f'{split} holds {count} duplicate images')


def _digest(path: Path) -> bytes | str:
    """Hash of a decodable image file, or its problem."""
    try:
        return load_image(path, _hash_if_decodable)
    except FileNotFoundError:
        return f'missing: {path}'
    except OSError as error:
        return f'unreadable: {path}: {error.__cause__}'


def _hash_if_decodable(content: bytes) -> bytes:
    decode_rgb(content)
    return hashlib.sha1(content, usedforsecurity=False).digest()
