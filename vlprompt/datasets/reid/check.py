"""Check a re-identification dataset: report all problems, and counts of images, identities and cameras."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vlprompt.datasets.classification.check import Findings, compare_paths, open_images
from vlprompt.datasets.reid.readers.base import SPLITS, ReIDItem, ReIDReader


@dataclass
class ReIDReport(Findings):
    """Findings of :func:`check_reid`.

    Attributes:
        items: split -> its images.
    """

    items: dict[str, Sequence[ReIDItem]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [str(self.source), '', 'split     identities  images  cameras  views  images per identity']
        for split, items in self.items.items():
            images = Counter(item.pid for item in items)
            cameras, views = len({item.camid for item in items}), len({item.viewid for item in items})
            span = f'{min(images.values())} to {max(images.values())}, mean {len(items) / len(images):.1f}'
            lines.append(f'{split:8}  {len(images):10}  {len(items):6}  {cameras:7}  {views:5}  {span}')
        return '\n'.join([*lines, '', *self.lines()])


def check_reid(reader: ReIDReader, workers: int = 4) -> ReIDReport:
    """Read all splits, open every image, and compare the splits.

    Problems are: entries that the reader rejects, missing splits, missing and undecodable images, identities that are
    in the training and in the test split (if both number identities alike), and images that are in two splits, by
    path or by content.  Identities with one image, queries that the gallery cannot answer, and cameras without
    training images are notes.

    Args:
        reader: of the dataset.
        workers: threads that open images.
    """
    report = ReIDReport(str(reader.source))
    for split in SPLITS:
        try:
            report.items[split] = reader.read(split)
        except (ValueError, OSError) as error:
            report.problems.append(str(error))
    report.notes += reader.notes()
    _compare_identities(reader, report)
    files = {split: [item.path for item in items] for split, items in report.items.items()}
    compare_paths(files, report)
    open_images(reader.image_root, files, workers, report)
    return report


def _compare_identities(reader: ReIDReader, report: ReIDReport) -> None:
    train, query, gallery = (report.items.get(split, []) for split in SPLITS)
    tested = {item.pid for item in (*query, *gallery)}
    shared = {item.pid for item in train} & tested
    if reader.one_numbering and shared:
        report.problems.append(f'leak: {_count(shared, "identities are")} in the training and in the test split')
    single = single_image_ids(train)
    if single:
        report.notes.append(f'{_count(single, "training identities have")} one image only')
    unseen = {item.camid for item in (*query, *gallery)} - {item.camid for item in train}
    if train and unseen:
        report.notes.append(
            f'{_count({camid + 1 for camid in unseen}, "cameras of the test split have")} no training image'
        )
    if query and gallery:
        absent = {item.pid for item in query} - {item.pid for item in gallery}
        if absent:
            report.notes.append(f'{_count(absent, "query identities have")} no image in the gallery')
        alone = unanswerable(query, gallery)
        if alone:
            pids = {item.pid for item in alone}
            report.notes.append(
                f'{len(alone)} queries have no gallery image from another camera: {_count(pids, "identities")}'
            )


def single_image_ids(items: Iterable[ReIDItem]) -> set[int]:
    """Identities with one image."""
    return {pid for pid, count in Counter(item.pid for item in items).items() if count == 1}


def unanswerable(query: Iterable[ReIDItem], gallery: Iterable[ReIDItem]) -> list[ReIDItem]:
    """Queries without an image of their identity from another camera in the gallery."""
    cameras = defaultdict(set)
    for item in gallery:
        cameras[item.pid].add(item.camid)
    return [item for item in query if not cameras[item.pid] - {item.camid}]


def _count(numbers: set[int], what: str, limit: int = 10) -> str:
    names = ', '.join(map(str, sorted(numbers)[:limit]))
    return f'{len(numbers)} {what} ({names}{", ..." if len(numbers) > limit else ""})'
