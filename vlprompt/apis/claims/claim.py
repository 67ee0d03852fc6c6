"""What a claim is: settings that are compared, and the verdict on their difference."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlprompt.evaluation.effects import Effect


@dataclass(frozen=True)
class Metric:
    """What is compared, in percent; more is better.

    Attributes:
        key: in the file of a run's metrics.
        name: as people write it.
        factor: from the file's number to percent.
    """

    key: str
    name: str
    factor: float = 1.0


@dataclass(frozen=True)
class Setting:
    """A config and options of tools/train.py.

    Attributes:
        name: in the table.
        config: name of a shipped config.
        options: ``KEY=VALUE``, passed on as ``--cfg-options``.
        shots: training images per class, None: as the config says.
    """

    name: str
    config: str
    options: tuple[str, ...] = ()
    shots: int | None = None

    @property
    def arguments(self) -> list[str]:
        """Options of tools/train.py and tools/test.py after the config."""
        shots = [] if self.shots is None else ['--shots', str(self.shots)]
        return shots + (['--cfg-options', *self.options] if self.options else [])

    @property
    def folder(self) -> str:
        """Name of the folder of its runs, the same for equal settings of different claims."""
        parts = [self.config, *([f'{self.shots}shot'] if self.shots else []), *self.options]
        return re.sub(r'[^\w=.-]+', '-', '_'.join(parts)).strip('-')


@dataclass(frozen=True)
class Comparison:
    """Two settings, of which ``ours`` is claimed to be the better one.

    Attributes:
        ours, theirs: what is compared.
        published: the figures of both; or that a paper has some which are not at hand, or that none asked the question.
    """

    ours: Setting
    theirs: Setting
    published: str = 'not at hand'


@dataclass(frozen=True)
class Claim:
    """A row of the table, or several of the same claim.

    Attributes:
        name: argument of `tools/claims.py`.
        text: the claim.
        method: under which it stands in the table.
        metric: what is compared.
        comparisons: one line each.
    """

    name: str
    text: str
    method: str
    metric: Metric
    comparisons: tuple[Comparison, ...]


def verdict(effect: Effect) -> str:
    """'holds' or 'reversed' if the confidence interval excludes 0, otherwise 'too small to tell'."""
    if effect.low > 0:
        return 'holds'
    return 'reversed' if effect.high < 0 else 'too small to tell'
