"""Effects of the tools' options (:mod:`vlprompt.apis.command_line`) on a config, and the runs that tools start."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from vlprompt.apis.command_line import config_options
from vlprompt.engine.adapters import is_own_folder
from vlprompt.engine.adapters.config_text import parse_config
from vlprompt.engine.checkpoint import RESUME_FILE, read_checkpoint
from vlprompt.engine.compiling import trains_by_steps
from vlprompt.engine.config import config_for, load_config
from vlprompt.engine.config_files import work_dir_of
from vlprompt.engine.data_checks import check_test_set
from vlprompt.engine.phases import phase_configs, train_phases
from vlprompt.engine.work_dir import TESTED_FILE
from vlprompt.errors import CheckpointError, ConfigError
from vlprompt.files import METRICS_FILE, written_whole


def read_config(args: argparse.Namespace) -> Config:
    """The checked config with the options of :func:`~vlprompt.apis.command_line.add_config_options` applied."""
    options = config_options(args)
    if 'launcher' in options:
        raise ConfigError(
            f'launcher={options["launcher"]!r}: give it by the option --launcher, which would override it'
        )
    cfg = _composed(args, options)
    if args.seed is not None:
        set_seed(cfg, args.seed)
    return cfg


def _composed(args: argparse.Namespace, options: Mapping[str, Any], tell: bool = True) -> Config:
    """The config of a command line; with a checkpoint, the model by the recipe of its training."""
    checkpoint = getattr(args, 'checkpoint', None)
    foreign = checkpoint is not None and Path(checkpoint).is_dir() and not is_own_folder(checkpoint)  # one of peft
    known = checkpoint not in (None, 'none') and not foreign
    return config_for(partial(read_checkpoint, checkpoint) if known else None, args.config, options, tell)


def refuse_idle_options(args: argparse.Namespace, cfg: Config, names_folder: bool = False) -> None:
    """Refuse ``--shots`` and ``--seed`` where nothing is trained and they change nothing.

    ``--shots`` may choose a recipe, such as that of a solver, ``--seed`` draws what no checkpoint replaces.

    Args:
        args: of the command line, with ``checkpoint``.
        cfg: their config.
        names_folder: whether ``--shots`` is also part of the name of the folder of results.

    Raises:
        ConfigError: one of them has no effect.
    """
    if args.seed is not None and args.checkpoint not in (None, 'none'):
        raise ConfigError(
            f'--seed {args.seed} has no effect beside a checkpoint, where nothing is random: leave it out'
        )
    if args.shots is not None and not names_folder:
        options = {key: value for key, value in config_options(args).items() if key != 'shots'}
        without = load_config(args.config, options), _composed(args, options, tell=False)
        if all(_predicting(other) == _predicting(cfg) for other in without):
            raise ConfigError(f'--shots {args.shots} has no effect where nothing is trained: leave it out')


def _predicting(cfg: Config) -> list[Any]:
    """The models and test sets of a config and its phases."""
    parts = [cfg, *(cfg.get('phases') or {}).values()]
    return [part.get(key) for part in parts for key in ('model', 'test_dataloader', 'test_evaluator', 'tta_pipeline')]


def base_config(args: argparse.Namespace) -> Config:
    """The checked config with the options of :func:`~vlprompt.apis.command_line.add_common_options` applied."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args)
    cfg.setdefault('runner_type', 'vlprompt.PromptRunner')
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or work_dir_of(cfg)
    return cfg


def configs_by_phase(cfg: Config, args: argparse.Namespace) -> dict[str, Config]:
    """The config of every phase with the common options applied; a config without phases stands under ``''``.

    Raises:
        ConfigError: ``--phase`` for a config without phases, or of an unknown name.
    """
    if not cfg.get('phases'):
        if args.phase is not None:
            raise ConfigError(f'--phase {args.phase}: {args.config} has no phases')
        return {'': cfg}
    configs = phase_configs(cfg)
    if args.phase is not None and args.phase not in configs:
        raise ConfigError(f'--phase {args.phase}: phases of {args.config} are {", ".join(configs)}')
    if args.seed is not None:
        for single in configs.values():
            set_seed(single, args.seed)
    return configs


def set_seed(cfg: Config, seed: int) -> None:
    """One seed for everything random in a run.

    Sets ``randomness.seed`` (initialisation, order, augmentation) and ``seed`` of every few-shot dataset of the
    training and validation loaders, i.e. which k images per class are drawn.  The test set is never drawn.
    """
    cfg.setdefault('randomness', ConfigDict())
    cfg.randomness.seed = seed
    for loader in ('train_dataloader', 'val_dataloader'):
        for dataset in datasets_of(cfg.get(loader)):
            if 'shots' in dataset or 'seed' in dataset:
                dataset.seed = seed


def datasets_of(node: Any) -> list[ConfigDict]:
    """All dataset configs of a data loader, through wrappers such as ``ConcatDataset``."""
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [found for item in node for found in datasets_of(item)]
    if not isinstance(node, Mapping):
        return []
    own = [node] if 'type' in node else []
    inner = [] if isinstance(node.get('dataset'), str) else datasets_of(node.get('dataset'))
    return own + inner + datasets_of(node.get('datasets'))


def evenly_spaced(available: int, count: int) -> list[int]:
    """``count`` positions (at most all), evenly spaced over ``available`` ones."""
    count = min(count, available)
    return [int((i + 0.5) * available / count) for i in range(count)]


# --------------------------------------------------------------------------------------------------------------- runs


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config."""
    return RUNNERS.build(cfg)


@contextmanager
def naming_trained_data(cfg: Config, content: Mapping[str, Any] | None, source: str | Path) -> Iterator[None]:
    """In the block, the error about a missing file also tells which data a checkpoint was trained on, if those of the
    config are others.

    Args:
        cfg: which names the data that are looked for.
        content: of the checkpoint; None: there is none.
        source: the checkpoint, for messages.

    Raises:
        FileNotFoundError: a file is missing.
    """
    try:
        yield
    except FileNotFoundError as error:
        text = ((content or {}).get('meta') or {}).get('cfg')
        try:
            trained = _data_options(Config(parse_config(text, str(source)))) if isinstance(text, str) else ''
        except CheckpointError:  # a foreign config, of which nothing is known
            trained = ''
        if trained and trained != _data_options(cfg):
            raise FileNotFoundError(f'{error}. {source} was trained on other data: {trained}') from error
        raise


def _data_options(cfg: Config) -> str:
    """The options that name the data of a config; empty if it was not composed with a dataset."""
    roots = [dataset['data_root'] for dataset in datasets_of(cfg.get('test_dataloader')) if dataset.get('data_root')]
    given = {'--dataset': cfg.get('dataset'), '--data-root': next(iter(roots), None)}
    return ' '.join(f'{option} {value}' for option, value in given.items() if value) if given['--dataset'] else ''


def train(configs: Mapping[str, Config], phase: str | None = None) -> Runner:
    """Train the configs of :func:`configs_by_phase`, all phases or one, and return the last runner."""
    if '' in configs:
        runner = build_runner(configs[''])
        runner.train()
        return runner
    return train_phases(configs, phase)


def use_test(configs: Mapping[str, Config], phase: str | None = None) -> None:
    """Prepare a test after the training: the check of the data before it takes the test set as seriously as the others.

    A test set that not all runners would check, since phases have others, is checked here.

    Raises:
        ConfigError: there is none.
        DataError, ValueError, OSError: as for :func:`~vlprompt.engine.data_checks.check_test_set`.
    """
    chosen = [configs[phase]] if phase else list(configs.values())
    cfg = chosen[-1]
    if not cfg.get('test_dataloader') or cfg.get('test_cfg') is None:
        raise ConfigError('--test: the config has no test set (test_dataloader, test_evaluator and test_cfg=dict())')
    for single in chosen:
        same = single.get('test_cfg') is not None and single.get('test_dataloader') == cfg.test_dataloader
        single.test_after_training = same
    if not all(single.test_after_training for single in chosen):
        check_test_set(cfg)


def run_test(runner: Runner, folder: str | Path | None = None, options: Sequence[str] = ()) -> dict[str, float]:
    """Test, and write the metrics to ``<folder>/test_metrics.json``, and to ``tested.json`` there with the name of the
    checkpoint and what was special.

    Args:
        runner: of the model.
        folder: None: the runner's work directory.
        options: of the command line that make it another test than that of the config, such as ``--tta``.
    """
    metrics = runner.test()
    if is_main_process():
        folder = Path(folder or runner.work_dir)
        plain = {key: float(value) for key, value in metrics.items() if isinstance(value, Real)}  # NumPy's too
        tested = dict(checkpoint=_tested(runner, folder), options=list(options), metrics=plain)
        for name, content in ((METRICS_FILE, plain), (TESTED_FILE, tested)):
            with written_whole(folder / name) as file:
                file.write_text(json.dumps(content, indent=2) + '\n')
    return metrics


def _tested(runner: Runner, folder: Path) -> str | None:
    """The checkpoint with the weights of a runner: the last one that it has written or, if it trains nothing, that it
    has loaded; a file by its path from ``folder``.
    """
    checkpoint = runner.cfg.get('load_from')
    if runner.cfg.get('train_cfg') is not None:
        last = Path(runner.work_dir, 'last_checkpoint')
        checkpoint = last.read_text().strip() if last.is_file() else None
    return os.path.relpath(checkpoint, folder) if checkpoint and os.path.exists(checkpoint) else checkpoint


def use_amp(configs: Sequence[Config], dtype: str | None = None) -> None:
    """Switch the optimizer wrappers of all phases to mixed precision; phases that fit a solver have none.

    Args:
        configs: of the phases.
        dtype: ``'float16'`` or ``'bfloat16'``; None: that of the config, or the usual one of the device.

    Raises:
        ConfigError: none of them trains by steps, or one has another wrapper.
    """
    for cfg in _with_steps(configs, '--amp'):
        wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if wrapper.removeprefix('vlprompt.') not in ('OptimWrapper', 'AutocastOptimWrapper'):
            raise ConfigError(f'--amp replaces OptimWrapper, but optim_wrapper.type is {wrapper}')
        cfg.optim_wrapper.type = 'vlprompt.AutocastOptimWrapper'
        if dtype is not None:
            cfg.optim_wrapper.dtype = dtype


def use_compile(configs: Sequence[Config]) -> None:
    """Compile the losses of training steps of all phases; phases that fit a solver have none.

    Raises:
        ConfigError: none of them trains by steps.
    """
    steps = _with_steps(configs, '--compile')
    for cfg in configs:
        given = cfg.pop('compile', None)
        if cfg in steps:
            cfg.compile = given or True


def _with_steps(configs: Sequence[Config], option: str) -> list[Config]:
    """Those that train by steps of an optimizer."""
    if found := [cfg for cfg in configs if cfg.get('optim_wrapper') and trains_by_steps(cfg)]:
        return found
    if any(cfg.get('optim_wrapper') for cfg in configs):
        raise ConfigError(f'{option} has no effect: the solver is fitted at once, without steps of an optimizer')
    raise ConfigError(f'{option}: the config trains nothing (no optim_wrapper)')


def use_deterministic(cfg: Config) -> None:
    """Only deterministic kernels; those of cuBLAS need a variable that must be set before CUDA starts."""
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    cfg.setdefault('randomness', ConfigDict())
    cfg.randomness.deterministic = True


def scale_lr(cfg: Config) -> None:
    """Scale the learning rate by (batch size x accumulated batches x processes) / ``auto_scale_lr.base_batch_size``."""
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ConfigError(
            '--auto-scale-lr: the config does not say for which batch size its learning rate is meant; '
            'add auto_scale_lr = dict(base_batch_size=...)'
        )
    cfg.auto_scale_lr.enable = True


def use_resume(cfg: Config, path: str | None) -> None:
    """Resume from ``path``, or from the work directory; if nothing is there yet, the run starts as without resuming."""
    if path is not None:
        cfg.resume, cfg.load_from = True, path
    elif Path(cfg.work_dir, RESUME_FILE).is_file() or cfg.get('load_from') is None:
        cfg.resume, cfg.load_from = True, None


def without_validation(configs: Sequence[Config]) -> None:
    """Train all phases without validation, and without the best checkpoint that it would choose.

    Raises:
        ConfigError: none of them validates.
    """
    if all(cfg.get('val_cfg') is None for cfg in configs):
        raise ConfigError('--no-validate has no effect: the config has no validation (val_cfg)')
    for cfg in configs:
        if (cfg.get('default_hooks') or {}).get('checkpoint'):
            cfg.default_hooks.checkpoint.pop('save_best', None)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None


def use_tta(cfg: Config) -> dict[str, Any]:
    """Put the config's ``tta_pipeline`` into the test set and return its ``tta_model``.

    A config with neither (re-identification) keeps its pipeline: the model computes the mirror image itself.

    Raises:
        ConfigError: one with neither whose predictions are no scores of whole images, or with one of them alone.
    """
    given = {name: cfg.get(name) is not None for name in ('tta_pipeline', 'tta_model')}
    if any(given.values()) and not all(given.values()):
        missing, present = sorted(given, key=given.get)
        raise ConfigError(f'--tta: the config has {present}, but {missing}=None: set both, or test without --tta')
    if not any(given.values()):
        if (cfg.get('default_scope') or 'vlprompt') != 'vlprompt':
            raise ConfigError(f'--tta: the config has no tta_pipeline and tta_model, which {cfg.default_scope} needs')
        return dict(type='vlprompt.FlipTTAModel')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    return dict(cfg.tta_model)


def dump_predictions(cfg: Config, path: str) -> None:
    """Add mmengine's metric that pickles every data sample with its prediction."""
    if not path.endswith(('.pkl', '.pickle')):
        raise ConfigError(f'--out must end in .pkl, got {path}')
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    cfg.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=path)]
