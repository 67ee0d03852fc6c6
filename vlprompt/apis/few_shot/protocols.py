"""What the protocols of the few-shot literature train and test.

================  =========================================  ====================================================
protocol          training                                   tests
================  =========================================  ====================================================
``all``           k shots of all classes                     all classes
``base-to-new``   k shots of the first half of the classes   both halves, each among its own classes
``transfer``      k shots of all classes of one dataset      other datasets, with their own class names: another
                                                             domain of the same classes, or other classes
================  =========================================  ====================================================
"""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmengine.config import Config

from vlprompt.apis.command_line import add_config_options, config_options
from vlprompt.apis.seeds import trains_something
from vlprompt.apis.versions import models_of, version_of
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.datasets.checks.findings import Level
from vlprompt.datasets.classification.draw_files import SUFFIX
from vlprompt.engine.config import load_config
from vlprompt.engine.config_files import find_config
from vlprompt.engine.data_checks import examine_set
from vlprompt.engine.phases import phase_config
from vlprompt.errors import ConfigError
from vlprompt.models.agreement import note_of_unseen_words
from vlprompt.registry import DATASETS, MODELS
from vlprompt.solvers import Solver

TRAINED = 'trained'
"""Name of the test that follows the training, in which the classes are those of the training."""

WITH_SHOTS = 'config with shots and options'
"""Name of the version of a run's composed config among its inputs; ``'config'`` is that of the method and dataset."""


@dataclass(frozen=True)
class FurtherTest:
    """A test of one run.

    Attributes:
        name: of its column, and of its folder.
        arguments: of tools/test.py, after config and checkpoint.
        version: of the config that they compose.
    """

    name: str
    arguments: tuple[str, ...]
    version: str = ''


@dataclass(frozen=True)
class FewShotRun:
    """One training and its tests.

    Attributes:
        method: name of the config.
        config: its file.
        dataset: that is trained on; of a file its name.
        shots: images per class; None for a method that trains nothing.
        seed: of everything random; None for a method that trains nothing.
        arguments: of tools/train.py (tools/test.py if nothing is trained) after the config.
        tests: further ones, after that of the training.
        inputs: what else its result depends on, name and version: the config, the same with shots and options, files
            of draws, and built-in models.
    """

    method: str
    config: str
    dataset: str
    shots: int | None
    seed: int | None
    arguments: tuple[str, ...] = ()
    tests: tuple[FurtherTest, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    protocol: str = 'all'

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return self.shots is not None

    @property
    def folder(self) -> str:
        """Its folder below that of the experiment."""
        parts = [self.method, self.dataset]
        return '/'.join([*parts, f'{self.shots}shot', f'seed{self.seed}'] if self.trains else parts)

    def __str__(self) -> str:
        words = [self.method, self.dataset]
        return ', '.join([*words, f'{self.shots}-shot', f'seed {self.seed}'] if self.trains else words)


def plan(
    protocol: str,
    configs: Sequence[str],
    datasets: Sequence[str],
    shots: Sequence[int],
    seeds: Sequence[int],
    targets: Sequence[str] = (),
    options: Sequence[str] = (),
) -> list[FewShotRun]:
    """All runs of an experiment, seed by seed, so that every method has its first seed before any has its second.

    Args:
        protocol: one of :data:`~vlprompt.apis.few_shot.PROTOCOLS`.
        configs: files or names of methods.
        datasets: that are trained on.
        shots: training images per class.
        seeds: of draws and trainings.
        targets: of ``transfer``, datasets that are tested on.
        options: ``KEY=VALUE`` of every command, as of ``--cfg-options``.

    Raises:
        ConfigError: an unknown method, dataset or target, a method that belongs to another task, one that can only
            classify among the classes that it was trained on where the protocol tests on others, targets that the
            protocol does not have or lacks, an option of what the experiment chooses, such as ``shots``, or one that a
            method does not take, and different files of the same name.
    """
    if (protocol == 'transfer') != bool(targets):
        raise ConfigError(
            "protocol 'transfer' tests on other datasets: name them with --targets"
            if protocol == 'transfer'
            else f'--targets belong to the protocol transfer, not to {protocol!r}'
        )
    given = _by_key(protocol, options)
    methods = _named([str(find_config(config)) for config in configs])
    sources, others = _named(datasets), _named([*datasets, *targets])
    if len(sources) > 1 and (moved := [option for option in given if option.startswith('data_root=')]):
        raise ConfigError(f'{moved[0]} is the folder of one dataset, but there are {", ".join(sources)}: one at a time')
    runs: dict[FewShotRun, None] = {}
    for seed in seeds:
        for name, dataset in sources.items():
            elsewhere = {label: others[label] for label in map(label_of, targets) if label != name}
            if targets and not elsewhere:
                raise ConfigError(f'{name} is trained on, and the only target: name another one with --targets')
            for number in shots:
                for file in methods.values():
                    run = _run(protocol, file, name, dataset, number, seed, elsewhere, given)
                    runs.setdefault(run)  # what trains nothing is the same for all shots and seeds
    return list(runs)


CHOSEN = dict(shots='--shots', seed='--seeds', dataset='--datasets')
"""Keys of datasets that an experiment sets itself -> its option."""


def _by_key(protocol: str, options: Sequence[str]) -> tuple[str, ...]:
    """``KEY=VALUE`` in order of the keys, of several for one key the last.

    Raises:
        ConfigError: an option of something that the experiment chooses.
    """
    given = {}
    for option in options:
        key = option.partition('=')[0]
        leaf = key.rpartition('.')[2]
        of_data = key in (leaf, f'randomness.{leaf}') or key.endswith(f'.dataset.{leaf}')
        if leaf in CHOSEN and of_data:
            raise ConfigError(f'{option} has no place here: the experiment chooses it, by {CHOSEN[leaf]}')
        if protocol == 'base-to-new' and leaf == 'subset':
            raise ConfigError(
                f'{option} has no effect: the protocol base-to-new trains on the subset base and tests on both'
            )
        given[key] = option
    return tuple(given[key] for key in sorted(given))


def label_of(name: str) -> str:
    """The name of a dataset or config; of a file that without folder and suffix."""
    return Path(name).stem if name.endswith('.py') else name


def _named(names: Sequence[str]) -> dict[str, str]:
    """Label -> name or file.

    Raises:
        ConfigError: different files with the same label, or one that names something else in the folder of a run.
    """
    found: dict[str, str] = {}
    for name in names:
        label = label_of(name)
        if label == TRAINED:
            raise ConfigError(f'{name}: {TRAINED!r} is the name of the test after the training; rename the file')
        if found.setdefault(label, name) != name:
            raise ConfigError(f'{found[label]} and {name} are different configs of the same name')
    return found


def _run(
    protocol: str,
    file: str,
    name: str,
    dataset: str,
    shots: int,
    seed: int,
    targets: dict[str, str],
    options: tuple[str, ...],
) -> FewShotRun:
    trains, version = _method(file, dataset)
    for target in targets.values():
        _method(file, target)  # an unknown one is an error now, not after the training
    halves = protocol == 'base-to-new'
    given = _arguments(dataset, options, 'base' if halves else None)
    if halves or targets:
        _refuse_other_classes(protocol, file, dataset, tuple(targets.values()), given)
    # The folder of the data is that of what is trained on.
    moved = options if halves else tuple(option for option in options if not option.startswith('data_root='))
    tests = []
    for label, where in {'new': dataset}.items() if halves else targets.items():
        arguments = _arguments(where, moved, 'new' if halves else None)
        composed_version = version_of(composed(file, arguments))
        tests.append(FurtherTest(label, (*arguments, *(['--other-classes'] if trains else [])), composed_version))
    given += ('--shots', str(shots)) if trains else ()
    cfg = composed(file, given)  # an option that does not fit is an error now
    inputs = {'config': version, WITH_SHOTS: version_of(cfg), **models_of(cfg)}
    method = Path(file).stem
    if not trains:
        return FewShotRun(method, file, name, None, None, given, tuple(tests), tuple(inputs.items()), protocol)
    inputs |= _draws_of(cfg, seed)
    given += ('--seed', str(seed))
    return FewShotRun(method, file, name, shots, seed, given, tuple(tests), tuple(inputs.items()), protocol)


def _draws_of(cfg: Config, seed: int) -> dict[str, str]:
    """Name -> digest of the files of draws of a seed, if there are any."""
    found = {}
    for loop in ('train_dataloader', 'val_dataloader'):
        described = (phase_config(cfg).get(loop) or {}).get('dataset') or {}
        if str(described.get('draw')).endswith(SUFFIX):
            file = DATASETS.build(dict(described, seed=seed, lazy_init=True)).draw_file
            if file is not None and file.is_file():
                found[str(file)] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return found


def without(arguments: Sequence[str], *options: str) -> list[str]:
    """Arguments of a command line without some options and their values."""
    places = {place for option in options for place, part in enumerate(arguments) if part == option}
    return [part for place, part in enumerate(arguments) if not {place, place - 1} & places]


@cache
def _method(file: str, dataset: str) -> tuple[bool, str]:
    """Whether a method trains anything, and the version of its config."""
    cfg = load_config(file, dict(dataset=dataset))
    if 'FewShotDataset' not in str((cfg.get('test_dataloader') or {}).get('dataset', {}).get('type')):
        raise ConfigError(f'{file} is no few-shot method: its data is not read by FewShotDataset')
    return trains_something(cfg), version_of(cfg)


@cache
def composed(file: str, arguments: tuple[str, ...]) -> Config:
    """The checked config of a method with arguments of tools/train.py, those that change it."""
    parser = ArgumentParser()
    add_config_options(parser, config=False)
    return load_config(file, config_options(parser.parse_args(arguments)))


def _config_of(run: FewShotRun) -> Config:
    """What a run trains; its seed makes no difference."""
    return composed(run.config, tuple(without(run.arguments, '--seed')))


def notes_on_data(runs: Iterable[FewShotRun]) -> list[str]:
    """What is odd in the data of runs, and class names that the built-in models know no words for.

    Every dataset is read once, so that what is missing shows before the first run.

    Raises:
        DataError, ValueError, OSError: as for :func:`vlprompt.engine.data_checks.examine_set`.
    """
    notes: dict[str, None] = {}
    weights: dict[str, dict[str, str]] = {}
    largest: dict[str, FewShotRun] = {}
    for run in runs:
        weights.setdefault(run.dataset, {}).update(models_of(_config_of(run)))
        if run.dataset not in largest or (run.shots or 0) > (largest[run.dataset].shots or 0):
            largest[run.dataset] = run
    for run in largest.values():
        cfg = phase_config(_config_of(run))
        for loop in ('train', 'test') if run.trains else ('test',):
            facts = examine_set(cfg, loop)
            notes |= dict.fromkeys(f'{run.dataset}, {note}' for note in facts.of_level(Level.NOTE, Level.PROBLEM))
        words = [note_of_unseen_words(name, facts.parts[0].classes) for name in weights[run.dataset]]
        notes |= dict.fromkeys(f'{run.dataset}: {note}' for note in words if note)
    for arguments, config in {test.arguments: run.config for run in largest.values() for test in run.tests}.items():
        examine_set(
            phase_config(composed(config, tuple(part for part in arguments if part != '--other-classes'))), 'test'
        )
    return list(notes)


@cache
def _refuse_other_classes(
    protocol: str, file: str, dataset: str, targets: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    """Raise ConfigError if a test has classes for which a method has no rule: its solver, or vectors of every class.

    Args:
        protocol: of the experiment.
        file: the config.
        dataset: that is trained on.
        targets: datasets that are tested on; empty: the other half of the classes.
        arguments: of tools/train.py.
    """
    cfg = phase_config(composed(file, arguments))
    solver, name = cfg.model.get('solver'), Path(file).stem
    of_classes = (cfg.model.get('prompt') or {}).get('class_specific', False)
    where = 'the second half of the classes'
    if targets:
        where = ', '.join(target for target in targets if _has_other_classes(target, dataset, of_classes))
    if not where:
        return
    if of_classes:
        raise ConfigError(
            f'{name} has no part in the protocol {protocol!r}: every class has context vectors of its own, so there '
            f'are none for {where}. Leave it out, or set model.prompt.class_specific=False'
        )
    if solver is None:
        return
    built: Solver = MODELS.build(solver)
    if not built.has_rule_for_other_classes:
        raise ConfigError(
            f'{name} has no part in the protocol {protocol!r}: {type(built).__name__} classifies among the '
            f'classes that it was fitted to, and has no rule for {where}. Leave it out, or take GDA with '
            'model.solver.keep_rows=True, as gda_vit-b16_base-to-new does'
        )


def _has_other_classes(target: str, dataset: str, or_fewer: bool = False) -> bool:
    """Whether a dataset is known to have classes that another one lacks, or, with ``or_fewer``, any other list of them;
    of your own data only a run tells.
    """
    try:
        ours, theirs = resolve_class_names(dataset), resolve_class_names(target)
    except (ValueError, OSError):
        return False
    return list(theirs) != list(ours) if or_fewer else not set(theirs) <= set(ours)


def _arguments(dataset: str, options: tuple[str, ...], subset: str | None) -> tuple[str, ...]:
    options += () if subset is None else (f'subset={subset}',)
    return ('--dataset', dataset, *(('--cfg-options', *options) if options else ()))
