"""List the words nearest to each learned context vector, as a table, JSON and a picture.

python tools/analysis_tools/nearest_words.py configs/coop/coop_rn50.py \
    work_dirs/coop_rn50_caltech101_16shot/epoch_200.pth --top-k 5 --out words
"""

import argparse
import json
from pathlib import Path

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

from torch import nn  # noqa: E402

from vlprompt.apis import init_model  # noqa: E402
from vlprompt.engine import cli  # noqa: E402
from vlprompt.engine.options import CfgOptions  # noqa: E402
from vlprompt.errors import ConfigError  # noqa: E402
from vlprompt.prompts import ContextPrompt, readable  # noqa: E402
from vlprompt.visualization import (  # noqa: E402
    ContextWords,
    draw_words,
    format_words,
    nearest_words,
    save_figure,
    spacing_note,
    table_spacing,
    words_to_json,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of a model with learned context vectors')
    parser.add_argument('checkpoint', help="checkpoint of tools/train.py, or 'none' for the initial vectors")
    parser.add_argument('--top-k', type=int, default=3, help='words for each vector')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='classes to show (class-specific context only)')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder of nearest_words.json and nearest_words.png'
    )
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args(argv)
    if args.top_k < 1:
        parser.error('--top-k must be at least 1')
    return args


def words_of(model: nn.Module, args: argparse.Namespace) -> list[ContextWords]:
    """Nearest words of every prompt, or of every prompt of the classes asked for."""
    prompt, table = model.prompt, model.clip.text.token_embedding.weight
    if not isinstance(prompt, ContextPrompt):
        raise ConfigError(
            f'{args.config}: {type(prompt).__name__} learns no context vectors; take a model with ContextPrompt, '
            'such as those of configs/coop and configs/plot'
        )
    if not prompt.class_specific:
        if args.classes:
            raise ConfigError(f'--classes: the context vectors of {args.config} are the same for all classes')
        return nearest_words(prompt.context, table, args.top_k)
    known = [readable(name) for name in model.class_names]
    wanted = [readable(name) for name in args.classes or ()]
    if not wanted or not set(wanted) <= set(known):
        raise ConfigError(
            f'{args.config}: every class has its own context vectors; say by --classes which of these to show: '
            f'{", ".join(known)}'
        )
    return [
        words
        for name in wanted
        for words in nearest_words(prompt.context[:, known.index(name)], table, args.top_k, name=f'{name}, prompt')
    ]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    model = init_model(args.config, checkpoint, args.cfg_options)
    words = words_of(model, args)
    spacing = table_spacing(model.clip.text.token_embedding.weight)
    print(format_words(words))
    print(spacing_note(words, spacing))

    out = Path(args.out)
    title = f'Nearest words: {Path(args.config).stem}'
    picture = save_figure(draw_words(words, spacing, title), out / 'nearest_words.png')
    text = json.dumps(words_to_json(words, spacing), indent=1, ensure_ascii=False)
    (out / 'nearest_words.json').write_text(text + '\n', encoding='utf-8')
    print(f'{picture}\n{out / "nearest_words.json"}')


if __name__ == '__main__':
    cli.call(main)
