"""Make a checkpoint ready for others: without the state of its training, its hash in its name, with a card.

vlprompt publish-model work_dirs/coop_micro-vit_scenes_16shot/epoch_50.pth \
    --config coop_micro-vit --out published

Writes NAME-HASH.pth, which holds the learned tensors, the hash of the base weights and the names of the classes, and
NAME-HASH.md, a model card with the figures of its test. HASH are the first 8 digits of the SHA-256
of the file. The config of the run is not part of it, since it names folders: --config says which one to use.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('checkpoint', type=Path, help='checkpoint of a training')
    parser.add_argument('--config', required=True, help='config with which others use it, for the card')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the results')
    parser.add_argument('--name', help='of the model (default: that of the folder of the checkpoint)')
    parser.add_argument(
        '--metrics',
        type=Path,
        metavar='FILE',
        help='of its test (default: those of the last one in the folder of the checkpoint or the one above)',
    )
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from vlprompt.apis.publishing import metrics_beside, no_figures, publish
from vlprompt.files import read_metrics


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    metrics = metrics_beside(args.checkpoint) if args.metrics is None else read_metrics(args.metrics)
    name = args.name or args.checkpoint.resolve().parent.name
    published = publish(args.checkpoint, args.out, name, args.config, metrics)
    print(f'wrote {published.checkpoint} and {published.card.name}')
    print(f'left out: {", ".join(published.dropped) or "nothing"}')
    if metrics is None:
        print(no_figures(args.config, args.checkpoint))


if __name__ == '__main__':
    call(main)
