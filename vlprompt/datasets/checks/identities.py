"""Checks of re-identification data: what training, query and gallery share, and which queries have an answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.parts import IdentityPart
from vlprompt.evaluation.ranking import no_answer, some_unanswered
from vlprompt.messages import counted, enumerate_names


def check_training(train: IdentityPart) -> Iterator[Finding]:
    """Identities that a triplet loss cannot compare with themselves, or with others."""
    images = Counter(train.pids)
    if len(images) == 1:
        yield Finding(Level.PROBLEM, f'{train.name}: there is one identity only, {train.pids[0]}')
    single = [pid for pid, count in images.items() if count == 1]
    if single:
        yield Finding(Level.NOTE, f'{train.name}: {_have(single)} one image only: {_listed(single)}')


def check_against_training(train: IdentityPart, tested: Sequence[IdentityPart]) -> Iterator[Finding]:
    """Identities in both, and cameras that no training image is from."""
    pids, cameras = set(train.pids), set(train.camids)
    shared = pids & {pid for part in tested for pid in part.pids}
    names = ' and '.join(dict.fromkeys(part.name for part in tested))
    if shared and train.one_numbering:
        yield Finding(
            Level.PROBLEM,
            f'leak: {counted(len(shared), "identity", "identities")} of {train.name} in {names} too: {_listed(shared)}',
        )
    unseen = {camera + 1 for part in tested for camera in part.camids} - {camera + 1 for camera in cameras}
    if unseen and train.cameras_known:
        what = f'{counted(len(unseen), "camera")} of {names} {"has" if len(unseen) == 1 else "have"}'
        yield Finding(Level.NOTE, f'{what} no image in {train.name}: {_listed(unseen)}')


class SearchRules(NamedTuple):
    """What counts in the ranking of a query, as :class:`~vlprompt.evaluation.RetrievalMetric` has it.

    Attributes:
        same_camera: ``'remove'`` or ``'keep'`` images of the query's identity from its camera; ``'draws'`` if the
            gallery is drawn from all images.
        own_files: ``'remove'`` or ``'keep'`` the query's own file and its copies.
    """

    same_camera: str = 'remove'
    own_files: str = 'remove'


DEFAULT_RULES = SearchRules()


def check_queries(
    query: IdentityPart,
    gallery: IdentityPart,
    rules: SearchRules = DEFAULT_RULES,
    numbers: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Iterator[Finding]:
    """Queries whose identity the gallery does not hold.

    Args:
        query: the part of the queries.
        gallery: the part that is searched.
        rules: of the metric.
        numbers: of the files of both, equal for copies.
    """
    other_camera = rules.same_camera == 'remove'
    alone = unanswerable(query, gallery, other_camera, numbers, rules.own_files == 'keep')
    if not alone:
        return
    if len(alone) == len(query.pids):
        yield Finding(Level.ERROR, no_answer(other_camera))
        return
    yield Finding(Level.NOTE, some_unanswered([query.pids[i] for i in alone], len(query.pids), other_camera))


def unanswerable(
    query: IdentityPart,
    gallery: IdentityPart,
    other_camera: bool = True,
    numbers: tuple[Sequence[int], Sequence[int]] | None = None,
    own_counts: bool = False,
) -> list[int]:
    """Positions of the queries without an image of their identity, from another camera if asked for; their own file, or
    a copy of it, is none unless ``own_counts``.
    """
    own, others = numbers or (query.paths, gallery.paths)
    answers = defaultdict(list)
    for pid, camera, file in zip(gallery.pids, gallery.camids, others, strict=True):
        answers[pid].append((camera, file))
    return [
        i
        for i, (pid, camera, file) in enumerate(zip(query.pids, query.camids, own, strict=True))
        if not any(
            (own_counts or found != file) and (not other_camera or place != camera) for place, found in answers[pid]
        )
    ]


def _have(pids: Sequence[int]) -> str:
    return f'{counted(len(pids), "identity", "identities")} {"has" if len(pids) == 1 else "have"}'


def _listed(numbers: set[int] | Sequence[int]) -> str:
    return enumerate_names(sorted(numbers), 10)
