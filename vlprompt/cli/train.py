"""Train a model.

vlprompt train plot_rn50 --dataset dtd --shots 4 --seed 1 --test

A config with phases runs them one after another, each in <work dir>/<phase>; --resume skips those that have finished.
"""

import argparse

from vlprompt.apis.command_line import (
    ToolParser,
    add_amp_option,
    add_common_options,
    add_phase_option,
    before_imports,
    call,
)


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_common_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='continue a run exactly where it stopped: from PATH (a work directory or its newest checkpoint), or, '
        'without PATH, from --work-dir; starts from the beginning if there is nothing yet',
    )
    add_phase_option(parser, 'of a config with phases, run this one only; those before it must have finished')
    add_amp_option(parser)
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the losses of training steps (torch.compile), of detectors their features; further options are '
        'in the config, such as --cfg-options compile.backend=eager or compile.mode=max-autotune',
    )
    parser.add_argument(
        '--strategy',
        choices=['ddp', 'fsdp'],
        help='how several processes train together: ddp, each with a whole model (default), or fsdp, which shares out '
        'parameters, gradients and optimizer states (docs/distributed.md)',
    )
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate on the validation set')
    parser.add_argument('--deterministic', action='store_true', help='deterministic kernels only')
    parser.add_argument(
        '--test',
        action='store_true',
        help='after training, test the model of the last epoch, as the published recipes do',
    )
    return parser.parse_args()


before_imports(parse_args, __name__)

from mmengine.config import Config

from vlprompt.apis import runs
from vlprompt.engine.processes import leave_process_group
from vlprompt.engine.work_dir import one_run
from vlprompt.errors import ConfigError, Stopped


def apply_options(cfg: Config, args: argparse.Namespace) -> None:
    """Put the options of this tool into a config."""
    if args.resume:
        runs.use_resume(cfg, None if args.resume == 'auto' else args.resume)
    if args.strategy:
        cfg.strategy = args.strategy
    if args.auto_scale_lr:
        runs.scale_lr(cfg)
    if args.deterministic:
        runs.use_deterministic(cfg)


def main() -> None:
    args = parse_args()
    cfg = runs.base_config(args)
    configs = runs.configs_by_phase(cfg, args)
    if args.resume not in (None, 'auto') and len(configs) > 1 and args.phase is None:
        raise ConfigError(f'--resume {args.resume}: resume a run of several phases with --work-dir and plain --resume')
    chosen = [single for name, single in configs.items() if args.phase in (None, name)]
    for single in chosen:
        apply_options(single, args)
    if args.amp:
        runs.use_amp(chosen, None if args.amp is True else args.amp)
    if args.compile:
        runs.use_compile(chosen)
    if args.no_validate:
        runs.without_validation(chosen)
    if args.test:
        runs.use_test(configs, args.phase)
    try:
        with one_run(cfg.work_dir):  # nobody else trains there until its test is done
            runner = runs.train(configs, args.phase)
            if args.test:
                runs.run_test(runner, cfg.work_dir)
    except Stopped as stopped:
        leave_process_group(stopped.exit_code)
        raise
    leave_process_group()


if __name__ == '__main__':
    call(main)
