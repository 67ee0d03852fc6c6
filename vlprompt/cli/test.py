"""Test a model.

vlprompt test plot_rn50 work_dirs/plot_rn50_dtd_16shot/epoch_200.pth --dataset dtd
vlprompt test zero-shot_rn50          # nothing to load: zero-shot
"""

import argparse

from vlprompt.apis.command_line import ToolParser, add_common_options, add_phase_option, before_imports, call


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_common_options(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint of vlprompt train; without one the untrained model is tested'
    )
    add_phase_option(parser, 'of a config with phases, test the model of this one (default: that of the checkpoint)')
    parser.add_argument('--out', metavar='FILE.pkl', help='store the prediction of every image in FILE.pkl')
    parser.add_argument('--show-dir', metavar='DIR', help='draw every prediction into DIR')
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: the config's tta_pipeline and tta_model (classification: mean of the logits of "
        'five crops), or, for a config without them, the mean over each image and its mirror image',
    )
    parser.add_argument(
        '--other-classes',
        action='store_true',
        help='the checkpoint was trained on other classes than the config names (base-to-new, cross-dataset)',
    )
    return parser.parse_intermixed_args()


before_imports(parse_args, __name__)

from mmengine.hooks import PrepareTTAHook

from vlprompt.apis import runs
from vlprompt.apis.seeds import trains_something
from vlprompt.engine import DetectionImageHook, PredictionImageHook, SegmentationImageHook, read_checkpoint
from vlprompt.engine.phases import phase_of
from vlprompt.engine.processes import leave_process_group
from vlprompt.errors import ConfigError


def main() -> None:
    args = parse_args()
    cfg = runs.base_config(args)
    runs.refuse_idle_options(args, cfg, names_folder=args.work_dir is None)
    trains, folder, configs = trains_something(cfg), cfg.work_dir, runs.configs_by_phase(cfg, args)
    load_from = None if args.checkpoint in (None, 'none') else args.checkpoint
    content = read_checkpoint(load_from) if load_from else None
    cfg = configs[args.phase or phase_of(cfg, content) or list(configs)[-1]]
    cfg.start_from, cfg.load_from = None, load_from
    cfg.train_cfg = cfg.val_cfg = None  # so that no training data are needed
    cfg.resume = False
    if args.other_classes and load_from is None:
        raise ConfigError('--other-classes has no effect: no checkpoint is given')
    cfg.other_classes = args.other_classes or cfg.get('other_classes', False)
    tta_model = runs.use_tta(cfg) if args.tta else None
    if args.out:
        runs.dump_predictions(cfg, args.out)

    with runs.naming_trained_data(cfg, content, load_from):
        runner = runs.build_runner(cfg)
    if load_from is None and trains:
        runner.logger.warning('No checkpoint is given: what is tested is the model before its training')
    if args.show_dir:
        pictures = {'mmseg': SegmentationImageHook, 'mmdet': DetectionImageHook}
        runner.register_hook(pictures.get(cfg.default_scope, PredictionImageHook)(args.show_dir))
    if tta_model:
        runner.register_hook(PrepareTTAHook(tta_model))
    given = {'--tta': args.tta, '--other-classes': args.other_classes}
    runs.run_test(runner, folder, [option for option, value in given.items() if value])
    leave_process_group()


if __name__ == '__main__':
    call(main)
