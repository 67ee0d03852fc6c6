"""List the words nearest to each learned context vector, as a table, JSON and a picture.

vlprompt nearest-words coop_rn50 \
    work_dirs/coop_rn50_caltech101_16shot/epoch_200.pth --top-k 5 --out words

--words looks among the words of some texts alone, such as the captions that a small model was pretrained on: of other
words it has learned nothing, and the nearest of the whole vocabulary may be any of them. The distance between
neighbouring words, which the figures are compared with, is that of these words too.

Deep vectors (MaPLe, IVLP, PromptSRC), which enter later blocks of the text tower, follow by block, counted from 0.
"""

import argparse
import json
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('--top-k', type=positive, default=3, help='words for each vector')
    parser.add_argument(
        '--words', nargs='+', metavar='TEXT', help='texts, or one FILE.txt: look among their words (default: all)'
    )
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='classes to show (class-specific context only)')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder of nearest_words.json and nearest_words.png'
    )
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import torch
from torch import Tensor, nn

from vlprompt.apis import model_from
from vlprompt.clip.text.tokenizer import Tokenizer
from vlprompt.errors import ConfigError
from vlprompt.files import read_lines, set_aside
from vlprompt.prompts import ContextPrompt, readable
from vlprompt.visualization import (
    ContextWords,
    draw_words,
    format_words,
    nearest_words,
    save_figure,
    spacing_note,
    table_spacing,
    words_to_json,
)


def tokens_of(texts: list[str], tokenizer: Tokenizer, top_k: int) -> Tensor:
    """(V',) ids of the words of texts, or of the lines of a text file, ascending.

    Raises:
        ConfigError: fewer than ``top_k``, or a single one, which has no neighbour.
    """
    if len(texts) == 1 and texts[0].endswith('.txt'):
        texts = [line for _, line in read_lines(Path(texts[0]))]
    tokens = sorted({token for text in texts for token in tokenizer.encode(text) if tokenizer.word(token)})
    if len(tokens) < top_k:
        raise ConfigError(f'--words has {len(tokens)} words, fewer than --top-k {top_k}')
    if len(tokens) < 2:
        raise ConfigError('--words has one word: give at least two, whose distance is the unit of all distances')
    return torch.tensor(tokens)


def words_of(model: nn.Module, args: argparse.Namespace, tokens: Tensor | None) -> list[ContextWords]:
    """Nearest words of every prompt, those of deep vectors too, or of every prompt of the requested classes.

    Args:
        model: with context vectors.
        args: of the command line.
        tokens: (V',) ids of the words to look among; None: all.
    """
    prompt, table = model.prompt, model.clip.text.token_embedding.weight
    tokenizer = model.clip.text.tokenizer
    if not isinstance(prompt, ContextPrompt):
        raise ConfigError(
            f'{args.config}: {type(prompt).__name__} learns no context vectors; use a model with ContextPrompt, '
            'such as those of configs/coop and configs/plot'
        )
    if not prompt.class_specific:
        if args.classes:
            raise ConfigError(f'--classes: the context vectors of {args.config} are the same for all classes')
        names = ['prompt', *(f'block {block}, prompt' for block in range(1, prompt.depth))]
        return [
            words
            for name, vectors in zip(names, prompt.vectors(), strict=True)
            for words in nearest_words(vectors, table, args.top_k, tokens, name, tokenizer)
        ]
    known = [readable(name) for name in model.class_names]
    wanted = [readable(name) for name in args.classes or ()]
    if not wanted or not set(wanted) <= set(known):
        raise ConfigError(
            f'{args.config}: every class has its own context vectors; choose with --classes from: {", ".join(known)}'
        )
    return [
        words
        for name in wanted
        for words in nearest_words(
            prompt.context[:, known.index(name)], table, args.top_k, tokens, f'{name}, prompt', tokenizer
        )
    ]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)
    text = model.clip.text
    tokens = None if args.words is None else tokens_of(args.words, text.tokenizer, args.top_k)
    words = words_of(model, args, tokens)
    table = text.token_embedding.weight
    spacing = table_spacing(table if tokens is None else table[tokens])
    print(format_words(words))
    print(spacing_note(words, spacing))

    out = Path(args.out)
    set_aside(out, ['nearest_words.json', 'nearest_words.png'])
    title = f'Nearest words: {Path(args.config).stem}'
    picture = save_figure(draw_words(words, spacing, title), out / 'nearest_words.png')
    content = json.dumps(words_to_json(words, spacing), indent=1, ensure_ascii=False)
    (out / 'nearest_words.json').write_text(content + '\n', encoding='utf-8')
    print(f'{picture}\n{out / "nearest_words.json"}')


if __name__ == '__main__':
    call(main)
