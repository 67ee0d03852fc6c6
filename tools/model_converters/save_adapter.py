"""Write a checkpoint as the folder of an adapter, which loads without a config and can be shared; or the way back.

    vlprompt save-adapter coop_micro-rn epoch_25.pth my-adapter
    vlprompt save-adapter coop_micro-rn epoch_25.pth my-adapter --push ORG/NAME
    vlprompt save-adapter my-adapter my-adapter epoch_25.pth

The folder holds adapter_model.safetensors, adapter_config.json and a card, README.md. Give it wherever a checkpoint is
expected; it also stands for its own config: vlprompt test my-adapter my-adapter. Figures for the card are those of
--metrics, or of the last test in the folder of the checkpoint or the one above. A name that ends in .pth makes a
checkpoint. The config in the folder is that of the training, or, with --cfg-options, that of the command.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('dst', type=Path, help='folder of the adapter, or checkpoint (.pth)')
    parser.add_argument('--half', action='store_true', help='store fp16: half of the size, with a loss of digits')
    parser.add_argument('--metrics', type=Path, metavar='FILE.json', help='figures of a test for the card')
    parser.add_argument('--licence', metavar='NAME', help='of the adapter, such as apache-2.0, for the card')
    parser.add_argument('--notes', metavar='TEXT', help='how it was trained, for the card')
    parser.add_argument('--push', metavar='ORG/NAME', help='also upload the folder to huggingface.co')
    parser.add_argument('--private', action='store_true', help='with --push: a repository that only you see')
    args = parser.parse_args(argv)
    if args.checkpoint == 'none':
        parser.error('none: a model that was not trained has no adapter')
    if args.private and args.push is None:
        parser.error('--private has no effect without --push')
    given = [name for name in ('half', 'metrics', 'licence', 'notes', 'push') if getattr(args, name)]
    if args.dst.suffix == '.pth' and given:
        parser.error(f'--{given[0]} has no effect on a checkpoint ({args.dst})')
    return args


before_imports(parse_args, __name__)

from vlprompt.apis import model_from
from vlprompt.apis.adapters import save_pretrained, upload
from vlprompt.apis.publishing import metrics_beside, no_figures
from vlprompt.engine import read_checkpoint
from vlprompt.engine.adapters import is_adapter
from vlprompt.engine.writing import write_checkpoint
from vlprompt.files import read_metrics


def find_metrics(args: argparse.Namespace) -> dict[str, float] | None:
    """The figures of a test, from the file that is given or from beside the checkpoint; an adapter has none there."""
    if args.metrics is not None:
        return read_metrics(args.metrics)
    return None if is_adapter(args.checkpoint) else metrics_beside(args.checkpoint)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)  # which compares base weights, classes and shapes
    content = read_checkpoint(args.checkpoint)
    if args.dst.suffix == '.pth':
        write_checkpoint(content, args.dst)
        print(f'wrote {args.dst}')
        return
    about = dict(metrics=find_metrics(args), half=args.half, licence=args.licence, notes=args.notes)
    if not ((content.get('meta') or {}).get('vlprompt')):
        content = None  # a foreign checkpoint does not describe itself; the model does
    elif args.cfg_options:
        content['meta']['cfg'] = model.cfg.pretty_text
    save_pretrained(model, args.dst, content=content, **about)
    size = sum(file.stat().st_size for file in args.dst.iterdir() if file.is_file())
    print(f'wrote {args.dst}, {size / 1e3:.0f} kB')
    if about['metrics'] is None:
        print(no_figures(args.config, args.checkpoint))
    if args.push:
        print(f'uploaded to {upload(args.dst, args.push, args.private)}')


if __name__ == '__main__':
    call(main)
