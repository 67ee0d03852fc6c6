"""Split your own images, a folder per class, into training, validation and test images, without moving any.

    vlprompt split-folder photos
    vlprompt split-folder photos --val 0 --test 0.5 --seed 1
    vlprompt train coop_vit-b16 --dataset split_json --data-root photos

Images are FOLDER/<class name>/<image>; class names become words of prompts. Writes FOLDER/split.json in CoOp's form,
which --dataset split_json reads. The same images and seed give the same split. Photographs of one scene that were taken
together should not be in several splits: put them into one by hand, in a folder per split (--dataset folder).
"""

import argparse
import json
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call, natural


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('folder', type=Path, help='images, in a folder per class')
    parser.add_argument('--val', type=float, default=0.1, metavar='SHARE', help='validation images of each class')
    parser.add_argument('--test', type=float, default=0.3, metavar='SHARE', help='test images of each class')
    parser.add_argument('--seed', type=natural, default=0, help='of the draw')
    return parser.parse_args()


before_imports(parse_args, __name__)

from vlprompt.datasets.classification.splitting import split_folder
from vlprompt.errors import ConfigError


def main() -> None:
    args = parse_args()
    file = args.folder / 'split.json'
    if file.exists():
        raise ConfigError(f'{file} is there already, and results may depend on it; remove it to draw another split')
    splits = split_folder(args.folder, args.val, args.test, args.seed)
    file.write_text(json.dumps(splits, ensure_ascii=False, indent=0) + '\n', encoding='utf-8')
    counts = ', '.join(f'{len(items)} {split}' for split, items in splits.items())
    print(f'{file}: {counts} images of {len({item.label for item in splits["train"]})} classes')


if __name__ == '__main__':
    call(main)
