"""Results of comparisons, kept in a file, and the table that is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vlprompt.apis.claims.claim import Claim, Comparison, Setting, verdict
from vlprompt.apis.versions import are_current
from vlprompt.errors import DataError
from vlprompt.evaluation.effects import Effect, paired_effect
from vlprompt.evaluation.seeds import aggregate
from vlprompt.files import read_json, written_whole

BEGIN = '<!-- table: written by tools/claims.py -->'
END = '<!-- end of the table -->'


@dataclass(frozen=True)
class Result:
    """Metrics of one setting.

    Attributes:
        runs: seed -> metrics; a config that trains nothing has one run, which counts for every seed.
        trains: whether it trains anything.
        models: the built-in models that it began with, see :func:`~vlprompt.apis.versions.models_of`.
    """

    runs: Mapping[int, Mapping[str, float]]
    trains: bool = True
    models: Mapping[str, str] = field(default_factory=dict)

    def values(self, key: str, seeds: Sequence[int]) -> list[float]:
        """A metric of each seed.

        Raises:
            KeyError: a seed or the metric is missing.
        """
        if not self.trains:
            (only,) = self.runs.values()
            return [only[key]] * len(seeds)
        return [self.runs[seed][key] for seed in seeds]


def read_results(path: Path) -> dict[str, Result]:
    """Folder name of a setting -> its result, if it was measured with today's built-in models; empty without a file.

    Raises:
        DataError: the file is no such record.
    """
    if not path.is_file():
        return {}
    try:
        return {
            name: Result({int(seed): run for seed, run in entry['runs'].items()}, entry['trains'], entry['models'])
            for name, entry in read_json(path).items()
            if are_current(entry['models'])
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f'{path} is no record of tools/claims.py ({error!r}): remove it and run the claims again'
        ) from error


def write_results(path: Path, results: Mapping[str, Result]) -> None:
    """Write them in order of their names."""
    content = {
        name: dict(
            trains=result.trains,
            models=dict(result.models),
            runs={str(seed): dict(run) for seed, run in sorted(result.runs.items())},
        )
        for name, result in sorted(results.items())
    }
    with written_whole(path) as file:
        file.write_text(json.dumps(content, indent=1) + '\n')


def merged(old: Mapping[str, Result], new: Mapping[str, Result]) -> dict[str, Result]:
    """Both; the runs of a setting in both are those of all seeds, the new ones where a seed is in both."""
    together = {
        name: replace(result, runs=dict(old[name].runs) | dict(result.runs))
        for name, result in new.items()
        if name in old and old[name].models == result.models
    }
    return dict(old) | dict(new) | together


def effect_of(
    claim: Claim, comparison: Comparison, results: Mapping[str, Result]
) -> tuple[list[float], list[float], Effect] | None:
    """Values of both settings in percent and their difference, None while runs are missing."""
    pair = [results.get(setting.folder) for setting in (comparison.ours, comparison.theirs)]
    if None in pair:
        return None
    trained = [set(result.runs) for result in pair if result.trains]
    seeds = sorted(set.intersection(*trained)) if trained else []
    if len(seeds) < 2:
        return None
    ours, theirs = (
        [claim.metric.factor * value for value in result.values(claim.metric.key, seeds)] for result in pair
    )
    return ours, theirs, paired_effect(ours, theirs)


def markdown(claims: Sequence[Claim], results: Mapping[str, Result]) -> str:
    """One table per method, one line per comparison."""
    lines = []
    for method in dict.fromkeys(claim.method for claim in claims):
        lines += [
            f'### {method}',
            '',
            '| claim | claimed better | claimed worse | effect [95 %] | verdict | published |',
        ]
        lines.append('|---|---|---|---|---|---|')
        for claim in claims:
            if claim.method == method:
                for number, comparison in enumerate(claim.comparisons):
                    lines.append(_line(claim, comparison, results, first=number == 0))
        lines.append('')
    return '\n'.join(lines)


def _line(claim: Claim, comparison: Comparison, results: Mapping[str, Result], first: bool) -> str:
    pair = [comparison.ours.name, comparison.theirs.name]
    effect, judged = '', 'not run'
    if (found := effect_of(claim, comparison, results)) is not None:
        pair = [f'{name}: {_spread(values)}' for name, values in zip(pair, found[:2], strict=True)]
        effect, judged = str(found[2]), verdict(found[2])
    text = f'{claim.text}, {claim.metric.name} (`{claim.name}`)' if first else ''
    return f'| {text} | {pair[0]} | {pair[1]} | {effect} | {judged} | {comparison.published} |'


def _spread(values: Sequence[float]) -> str:
    spread = aggregate([{'value': value} for value in values])['value']
    return f'{spread.mean:.1f} ± {spread.std:.1f}'


def insert_table(page: str, table: str) -> str:
    """The page with the table between its two marks.

    Raises:
        DataError: the page does not have both marks.
    """
    if BEGIN not in page or END not in page:
        raise DataError(f'the page lacks the lines {BEGIN!r} and {END!r}, between which the table is written')
    before, rest = page.split(BEGIN, 1)
    return f'{before}{BEGIN}\n\n{table.rstrip()}\n\n{END}{rest.split(END, 1)[1]}'


def settings_of(claims: Sequence[Claim]) -> list[Setting]:
    """All settings of some claims, equal ones once."""
    found = {}
    for claim in claims:
        for comparison in claim.comparisons:
            for setting in (comparison.theirs, comparison.ours):
                found.setdefault(setting.folder, setting)
    return list(found.values())
