"""Train a model.

python tools/train.py configs/plot/plot_rn50_16shot_caltech101.py --seed 1 --test
"""

import argparse

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

from vlprompt.engine import cli  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_common_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='continue a run exactly where it stopped: from PATH (a work directory or its newest checkpoint), or, '
        'without PATH, from --work-dir; starts from the beginning if there is nothing yet',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision (float16 on a GPU, bfloat16 on the CPU)')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate on the validation set')
    parser.add_argument('--deterministic', action='store_true', help='deterministic kernels only')
    parser.add_argument(
        '--test',
        action='store_true',
        help='after training, test the model of the last epoch, as the published recipes do',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = cli.base_config(args)
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.amp:
        cli.use_amp(cfg)
    if args.auto_scale_lr:
        cli.scale_lr(cfg)
    if args.no_validate:
        cli.without_validation(cfg)
    if args.deterministic:
        cli.use_deterministic(cfg)

    runner = cli.build_runner(cfg)
    runner.train()
    if args.test:
        cli.run_test(runner)


if __name__ == '__main__':
    cli.call(main)
