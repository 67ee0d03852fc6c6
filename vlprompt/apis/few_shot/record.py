"""Results of runs in one file, which can be kept under version control and continued elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vlprompt.apis.few_shot.execute import RUN_FILE, asked_of, is_finished, read_run, write_run
from vlprompt.apis.few_shot.protocols import FewShotRun
from vlprompt.errors import RunError
from vlprompt.files import locked, read_json, written_whole

_PLACE = ('protocol', 'method', 'dataset', 'shots', 'seed')


def take_recorded(record: Path, runs: Iterable[FewShotRun], work_dir: Path) -> int:
    """Write recorded results into the folders of runs that have none, and return how many.

    Results of other options, another config or other built-in models are left out, and the run is done again.

    Raises:
        RunError: the file is no record.
    """
    recorded = _read(record)
    taken = 0
    for run in runs:
        content = recorded.get(tuple(getattr(run, name) for name in _PLACE))
        file = work_dir / run.folder / RUN_FILE
        if content is None or content['asked'] != asked_of(run) or not is_finished(run, content):
            continue
        begun = read_run(file) if file.is_file() else None
        if begun is None or (begun['asked'] == content['asked'] and not is_finished(run, begun)):
            write_run(file.parent, content)
            taken += 1
    return taken


def add_to_record(record: Path, runs: Sequence[FewShotRun], work_dir: Path) -> None:
    """Bring the results of finished runs into a record; those of other runs in it stay.

    Several commands may do so at a time.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    with locked(record.parent):
        recorded = _read(record)
        for run in runs:
            content = read_json(work_dir / run.folder / RUN_FILE)
            recorded[tuple(content[name] for name in _PLACE)] = content
        lines = (json.dumps(recorded[place]) for place in sorted(recorded, key=_order))
        with written_whole(record) as file:
            file.write_text('[\n' + ',\n'.join(lines) + '\n]\n', encoding='utf-8')


def _order(place: tuple[Any, ...]) -> tuple[Any, ...]:
    *names, shots, seed = place
    return *names, shots or 0, seed or 0


def _read(record: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    if not record.is_file():
        return {}
    content = read_json(record)
    try:
        return {
            tuple(entry[name] for name in _PLACE): entry for entry in content if entry['asked'] and entry['accuracy']
        }
    except (TypeError, KeyError) as error:
        raise RunError(f'{record} is no record of few-shot runs ({error!r}): give another file to --record') from error
