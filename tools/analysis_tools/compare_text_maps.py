"""Draw where several models see words in an image: one figure, a row for each model, a column for each word.

vlprompt compare-text-maps zero-shot_micro-rn zero-shot_micro-vit zero-shot_micro-vit:sclip \
    --image scene.png --class-names "red circle" cat --out maps.png
vlprompt compare-text-maps zero-shot_rn50 zero-shot_rn50:value zero-shot_vit-b16 \
    plot_rn50=work_dirs/plot/epoch_200.pth --image street.jpg --class-names road bus --out maps.png

A model is CONFIG, CONFIG=CHECKPOINT, or either with :FORM, a form of local features (docs/local_features.md); without
it, that of the config. Maps are cosines of local features and words in the model's own prompts, on one scale for all,
or, with --stretch, on one for each model. Every model sees the image at the size of its tower.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call, local_form, positive


def model_form(value: str) -> tuple[str, str | None, str | dict | None]:
    """Type of a model on the command line: config, checkpoint and form of ``CONFIG[=CHECKPOINT][:FORM]``."""
    model, _, form = value.partition(':')
    config, _, checkpoint = model.partition('=')
    return config, checkpoint or None, local_form(form) if form else None


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('models', nargs='+', type=model_form, metavar='CONFIG[=CHECKPOINT][:FORM]', help='rows')
    parser.add_argument('--image', required=True, type=Path, metavar='FILE', help='the image')
    parser.add_argument('--class-names', required=True, nargs='+', metavar='NAME', help='columns')
    parser.add_argument('--size', type=positive, help="shorter side of the image in pixels (default: each tower's own)")
    parser.add_argument('--stretch', action='store_true', help='a colour scale for each model')
    parser.add_argument('--device', default='cpu', help='such as cuda or cuda:1')
    parser.add_argument('--out', required=True, type=Path, metavar='FILE', help='the picture')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import numpy as np

from vlprompt.apis import init_model
from vlprompt.apis.local_features import check_model, see_words, spelled
from vlprompt.visualization import read_image, save_figure, title_of
from vlprompt.visualization.text_maps import MapRow, draw_text_maps


def map_row(model: tuple[str, str | None, str | dict | None], image: np.ndarray, args: argparse.Namespace) -> MapRow:
    """The maps of one model."""
    config, checkpoint, form = model
    built = init_model(config, checkpoint, device=args.device, class_names=args.class_names)
    check_model(built, config)
    form = built.clip.visual.local if form is None else form
    seen, scored = see_words(built, image, args.class_names, form, args.size)
    return MapRow(Path(config).stem, spelled(form), seen, scored.maps)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    image = read_image(args.image)
    rows = [map_row(model, image, args) for model in args.models]
    print(save_figure(draw_text_maps(rows, args.class_names, title_of(args.image), args.stretch), args.out))


if __name__ == '__main__':
    call(main)
