"""Compare two classifiers on the same test images: pictures of those that tell them apart, and their confusions.

vlprompt compare-predictions zero-shot_rn50 \
    coop_rn50=work_dirs/coop_rn50_dtd_16shot/epoch_200.pth --dataset dtd --names "zero-shot CLIP" CoOp --out compared
vlprompt compare-predictions builtin:coop_micro-rn builtin:plot_micro-rn --out compared

A model is CONFIG, CONFIG=CHECKPOINT, or an adapter: a folder, builtin:NAME or hf-hub:ORG/NAME. Both predict the test
set of their own config, which must be the same images and classes. Writes

* predictions.png: images that only the second model has right, that only the first has right, and that both have
  wrong, with the most likely classes of both. Of each kind those come first whose true class has changed its score
  most, or whose wrong class the second model is surest of, and one of each class before a second of any;
* confusions.png: shares of the true classes that are predicted as each class, and what has changed;
* comparison.json: accuracies, and the files of every kind.
"""

import argparse
import json
from pathlib import Path

from vlprompt.apis.command_line import CfgOptions, ToolParser, before_imports, call, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('models', nargs=2, metavar='CONFIG[=CHECKPOINT]', help='the two models')
    parser.add_argument('--dataset', metavar='NAME', help='test set of both, as for testing')
    parser.add_argument('--data-root', metavar='DIR', help='folder of the dataset')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='override values of both configs'
    )
    parser.add_argument('--names', nargs=2, metavar='NAME', help='names of the models (default: of their configs)')
    parser.add_argument('--images', type=positive, default=3, metavar='N', help='images of each kind')
    parser.add_argument('--title', default='', help='first line of the pictures')
    parser.add_argument('--device', default='cpu', help='such as cuda or cuda:1')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the results')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from vlprompt.apis.comparison import TestPredictions, predict_test_set
from vlprompt.errors import ConfigError
from vlprompt.evaluation.accuracy import confusion_matrix
from vlprompt.files import set_aside
from vlprompt.visualization import save_figure
from vlprompt.visualization.comparisons import choose_images, draw_comparison, draw_confusions

FILES = ('predictions.png', 'confusions.png', 'comparison.json')


def compared(args: argparse.Namespace) -> dict[str, TestPredictions]:
    """The predictions of both models, by their names.

    Raises:
        ConfigError: equal names, or test sets of other images or classes.
    """
    names = args.names or [Path(model.partition('=')[0]).stem for model in args.models]
    if names[0] == names[1]:
        raise ConfigError(f'both models are called {names[0]!r}: give them names by --names')
    options = {key: value for key in ('dataset', 'data_root') if (value := getattr(args, key)) is not None}
    options |= args.cfg_options or {}
    found = {
        name: predict_test_set(model, options, args.device) for name, model in zip(names, args.models, strict=True)
    }
    first, second = found.values()
    for what in ('class_names', 'paths'):
        if getattr(first, what) != getattr(second, what):
            raise ConfigError(
                f'{args.models[0]} and {args.models[1]} are tested on other {what.replace("_", " ")}: --dataset and '
                '--data-root give both the same data'
            )
    return found


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    found = compared(args)
    one = next(iter(found.values()))
    scores = {name: predicted.scores for name, predicted in found.items()}
    groups = choose_images(scores, one.labels, args.images)
    set_aside(args.out, FILES)
    args.out.mkdir(parents=True, exist_ok=True)
    images = {number: one.picture(number) for group in groups for number in group.images}
    picture = draw_comparison(groups, images, scores, one.labels, one.class_names, args.title)
    picture.save(args.out / FILES[0])
    labels = one.labels.numpy()
    confusions = {
        name: confusion_matrix(labels, predicted.argmax(1).numpy(), len(one.class_names))
        for name, predicted in scores.items()
    }
    save_figure(draw_confusions(confusions, one.class_names, args.title), args.out / FILES[1])
    report = dict(
        images=len(labels),
        accuracy={name: round(100 * float(p.accuracy), 4) for name, p in found.items()},
        groups=[
            dict(title=group.title, images=group.total, drawn=[one.paths[number] for number in group.images])
            for group in groups
        ],
    )
    (args.out / FILES[2]).write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    for name, accuracy in report['accuracy'].items():
        print(f'{name}: {accuracy:.2f} % of {len(labels)} images right')
    for group in groups:
        print(f'{group.title}: {group.total}')
    for file in FILES:
        print(args.out / file)


if __name__ == '__main__':
    call(main)
