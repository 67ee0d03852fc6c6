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

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmengine.config import Config

from vlprompt.apis.command_line import add_config_options, config_options
from vlprompt.apis.seeds import trains_something
from vlprompt.apis.versions import models_of, version_of
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.engine.config import load_config
from vlprompt.engine.config_files import find_config
from vlprompt.engine.phases import phase_config
from vlprompt.errors import ConfigError
from vlprompt.registry import MODELS
from vlprompt.solvers import Solver

TRAINED = 'trained'
"""Name of the test that follows the training, in which the classes are those of the training."""


@dataclass(frozen=True)
class FurtherTest:
    """A test of one run.

    Attributes:
        name: of its column, and of its folder.
        arguments: of tools/test.py, after config and checkpoint.
    """

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class FewShotRun:
    """One training and its tests.

    Attributes:
        method: name of the config.
        config: its file.
        dataset: that is trained on.
        shots: images per class; None for a method that trains nothing.
        seed: of everything random; None for a method that trains nothing.
        arguments: of tools/train.py (tools/test.py if nothing is trained) after the config.
        tests: further ones, after that of the training.
        inputs: what else its result depends on, name and version: the composed config, and built-in models.
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
            protocol does not have or lacks, a ``subset`` where the protocol chooses the classes, or an option that a
            method does not take.
    """
    if (protocol == 'transfer') != bool(targets):
        raise ConfigError(
            "protocol 'transfer' tests on other datasets: name them with --targets"
            if protocol == 'transfer'
            else f'--targets belong to the protocol transfer, not to {protocol!r}'
        )
    if protocol == 'base-to-new' and (given := [option for option in options if option.startswith('subset=')]):
        raise ConfigError(
            f'{given[0]} has no effect: the protocol base-to-new trains on the subset base and tests on both'
        )
    methods = {}
    for config in configs:
        file = find_config(config)
        if methods.setdefault(file.stem, str(file)) != str(file):
            raise ConfigError(f'{methods[file.stem]} and {file} are different configs of the same name')
    runs: dict[FewShotRun, None] = {}
    for seed in seeds:
        for dataset in datasets:
            for number in shots:
                for file in methods.values():
                    run = _run(protocol, file, dataset, number, seed, tuple(targets), tuple(options))
                    runs.setdefault(run)  # what trains nothing is the same for all shots and seeds
    return list(runs)


def _run(
    protocol: str, file: str, dataset: str, shots: int, seed: int, targets: tuple[str, ...], options: tuple[str, ...]
) -> FewShotRun:
    trains, inputs = _method(file, dataset)
    for target in targets:
        _method(file, target)  # an unknown one is an error now, not after the training
    halves = protocol == 'base-to-new'
    elsewhere = [('new', dataset)] if halves else [(target, target) for target in targets]
    # The model that is tested is the one that was trained, also where the recipe of a method varies by dataset.
    recipe = () if halves or not trains else (f'recipe_dataset={dataset}',)
    tests = tuple(
        FurtherTest(
            name,
            (
                *_arguments(where, (*options, *recipe), 'new' if halves else None),
                *(['--other-classes'] if trains else []),
            ),
        )
        for name, where in elsewhere
    )
    given = _arguments(dataset, options, 'base' if halves else None)
    if elsewhere:
        _refuse_other_classes(protocol, file, dataset, () if halves else targets, given)
    method = Path(file).stem
    if not trains:
        return FewShotRun(method, file, dataset, None, None, given, tests, inputs, protocol)
    given += ('--shots', str(shots))
    if options:
        _composed(file, given)  # an option that does not fit is an error now
    given += ('--seed', str(seed))
    return FewShotRun(method, file, dataset, shots, seed, given, tests, inputs, protocol)


@cache
def _method(file: str, dataset: str) -> tuple[bool, tuple[tuple[str, str], ...]]:
    """Whether a method trains anything, and the version of its config and models."""
    cfg = load_config(file, dict(dataset=dataset))
    if 'FewShotDataset' not in str((cfg.get('test_dataloader') or {}).get('dataset', {}).get('type')):
        raise ConfigError(f'{file} is no few-shot method: its data is not read by FewShotDataset')
    return trains_something(cfg), (('config', version_of(cfg)), *models_of(cfg).items())


@cache
def _composed(file: str, arguments: tuple[str, ...]) -> Config:
    """The checked config of a method with arguments of tools/train.py."""
    parser = ArgumentParser()
    add_config_options(parser, config=False)
    return load_config(file, config_options(parser.parse_args(arguments)))


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
    cfg = phase_config(_composed(file, arguments))
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
