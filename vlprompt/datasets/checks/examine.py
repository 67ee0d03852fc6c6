"""All checks of the parts of a dataset, bounded for a run or thorough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vlprompt.datasets.checks.boxes import check_boxes
from vlprompt.datasets.checks.classes import check_classes, check_same_classes
from vlprompt.datasets.checks.files import MOST_FILES, Numbers, Opened, check_shared, number_files, open_images
from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.identities import (
    DEFAULT_RULES,
    SearchRules,
    check_against_training,
    check_queries,
    check_training,
)
from vlprompt.datasets.checks.lists import check_list
from vlprompt.datasets.checks.masks import MaskCounts, check_masks, count_masks
from vlprompt.datasets.checks.parts import BoxPart, ClassPart, IdentityPart, MaskPart, Part
from vlprompt.datasets.dense.mask_size import misfit, misfit_of_annotations

MOST_MASKS = 200
"""A run reads so many masks of a split before it trains, evenly spaced if there are more."""


@dataclass
class Facts:
    """What is known about the parts of a dataset.

    Attributes:
        parts: the parts.
        lines: the counts of every part, and what was not checked.
        findings: everything that is odd or wrong, without repetitions -> positions of the parts that it is about.
        masks: position of a part -> what its masks hold.
    """

    parts: list[Part]
    lines: list[str] = field(default_factory=list)
    findings: dict[Finding, tuple[int, ...]] = field(default_factory=dict)
    masks: dict[int, MaskCounts] = field(default_factory=dict)

    def add(self, findings: Iterator[Finding], *positions: int) -> None:
        """Add findings about the parts at ``positions``; known ones, such as notes of a shared source, stay."""
        for finding in findings:
            self.findings.setdefault(finding, positions)

    def of_level(self, *levels: Level) -> list[str]:
        """The texts of the findings of these levels."""
        return [finding.text for finding in self.findings if finding.level in levels]


def examine(parts: Sequence[Part], rules: SearchRules = DEFAULT_RULES, all_pairs: bool = False) -> Facts:
    """What a run finds before it trains: all of the lists, a sample of the masks, copies of files within bounds.

    Args:
        parts: of training, validation and test.
        rules: of the metric of a re-identification test.
        all_pairs: compare validation and test too, not only training with both.
    """
    facts = Facts(list(parts))
    numbers = number_files(parts) if len(parts) > 1 else None
    _examine_lists(facts, numbers, rules, all_pairs, MOST_MASKS)
    if numbers is None and len(parts) > 1:
        total = sum(len(part.paths) for part in parts)
        facts.lines.append(
            f'{total} files, more than {MOST_FILES}: copies in two splits are not searched; check_dataset.py does'
        )
    elif numbers is not None and numbers.skipped:
        facts.lines.append(f'{numbers.skipped}; check_dataset.py does')
    return facts


def examine_all(
    parts: Sequence[Part],
    rules: SearchRules = DEFAULT_RULES,
    workers: int = 4,
) -> Facts:
    """The same findings without bounds, and every image opened.

    Args:
        parts: of training, validation and test, or the splits of a reader.
        rules: as in :func:`examine`.
        workers: threads.
    """
    facts = Facts(list(parts))
    opened = open_images(parts, workers)
    _examine_lists(facts, opened.numbers, rules, all_pairs=True, most_masks=None, workers=workers)
    facts.add(_of_opened(facts, opened))
    return facts


def _examine_lists(
    facts: Facts,
    numbers: Numbers | None,
    rules: SearchRules,
    all_pairs: bool,
    most_masks: int | None,
    workers: int = 4,
) -> None:
    for i, part in enumerate(facts.parts):
        line = part.counts() if part.paths else ''
        facts.add(check_list(part), i)
        if isinstance(part, ClassPart):
            facts.add(check_classes(part), i)
        elif isinstance(part, BoxPart):
            facts.add(check_boxes(part), i)
        elif isinstance(part, MaskPart):
            facts.masks[i] = count_masks(part, most_masks, workers)
            line += f'; {facts.masks[i]}'
            facts.add(check_masks(part, facts.masks[i]), i)
        elif isinstance(part, IdentityPart) and part.training:
            facts.add(check_training(part), i)
        if line:
            facts.lines.append(line)
    _compare_classes(facts)
    for i, j in _pairs(facts.parts, all_pairs):
        own = None if numbers is None else (numbers.of[i], numbers.of[j])
        facts.add(check_shared(facts.parts[i], facts.parts[j], own, rules.own_files), i, j)
    _examine_identities(facts, numbers, rules)


def _compare_classes(facts: Facts) -> None:
    """Compare the classes of all parts with those of the first part for training."""
    parts = [(i, part) for i, part in enumerate(facts.parts) if isinstance(part, (ClassPart, MaskPart, BoxPart))]
    first = next(((i, part) for i, part in parts if part.training), None)
    for j, part in parts if first is not None else ():
        if type(part) is type(first[1]) and part.classes and first[1].classes:  # some datasets name none
            facts.add(check_same_classes(first[1], part), first[0], j)


def _pairs(parts: Sequence[Part], all_pairs: bool) -> Iterator[tuple[int, int]]:
    """Parts that must not share images: training and others, query and gallery; the same list twice is one of them."""
    seen: list[int] = []
    for j, second in enumerate(parts):
        known = any(_is_same_split(parts[i], second) for i in seen)
        for i in [] if known else seen:
            first = parts[i]
            if first.name != second.name and (first.training or all_pairs or _is_search(first, second)):
                yield i, j
        if not known:
            seen.append(j)


def _is_search(first: Part, second: Part) -> bool:
    return (first.name, second.name) == ('query', 'gallery')


def _is_same_split(first: Part, second: Part) -> bool:
    """Whether two splits are one list by intention, as ImageNet's validation and its test set."""
    return not first.training and not _is_search(first, second) and list(first.paths) == list(second.paths)


def _examine_identities(facts: Facts, numbers: Numbers | None, rules: SearchRules) -> None:
    parts = [(i, part) for i, part in enumerate(facts.parts) if isinstance(part, IdentityPart)]
    tested = [(i, part) for i, part in parts if not part.training]
    for i, train in parts:
        if train.training and tested:
            facts.add(check_against_training(train, [part for _, part in tested]), i, *(j for j, _ in tested))
    pairs = zip([p for p in parts if p[1].name == 'query'], [p for p in parts if p[1].name == 'gallery'], strict=False)
    for (i, query), (j, gallery) in pairs:
        known = query.cameras_known or rules.same_camera == 'keep'
        if rules.same_camera != 'draws' and known:
            own = None if numbers is None else (numbers.of[i], numbers.of[j])
            facts.add(check_queries(query, gallery, rules, own), i, j)


def _of_opened(facts: Facts, opened: Opened) -> Iterator[Finding]:
    for problem in opened.problems.values():
        yield Finding(Level.ERROR, problem)
    for i, part in enumerate(facts.parts):
        again = len(part.paths) - len(set(opened.numbers.of[i]))
        if again and len(set(part.paths)) == len(part.paths):
            yield Finding(Level.NOTE, f'{part.name}: {again} images are copies of others in {part.name}')
        if isinstance(part, BoxPart):
            for path, size in zip(part.paths, part.sizes.astype(int).tolist(), strict=True):
                found = opened.sizes.get(path)
                if found is not None and found != tuple(size):
                    message = misfit_of_annotations(path, found, tuple(size), opened.orientation(path))
                    yield Finding(Level.ERROR, message)
        for number, (height, width) in facts.masks[i].shapes.items() if i in facts.masks else ():
            found = opened.sizes.get(part.paths[number])
            if found is not None and found != (width, height):
                path, exif = part.paths[number], opened.orientation(part.paths[number])
                yield Finding(Level.ERROR, misfit(part.masks[number], (width, height), path, found, exif))
        turned = [path for path in part.paths if path in opened.orientations]
        if turned and isinstance(part, (BoxPart, MaskPart)):
            yield Finding(
                Level.NOTE,
                f'{part.name}: {len(turned)} images are stored turned or mirrored (EXIF orientation) and read upright '
                f'(the first is {turned[0]}): their annotations must be those of the upright images',
            )
