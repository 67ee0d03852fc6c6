r"""Write the shots of a few-shot dataset into files that other toolboxes can read, and this one reads back.

    vlprompt export-draws coop_rn50 --dataset dtd --shots 1 2 4 8 16 --seeds 1 2 3 --out draws
    vlprompt train coop_rn50 --dataset dtd --shots 4 --seed 1 \
        --cfg-options "draw='draws/shot_{shots}-seed_{seed}_{split}.jsonl'"

Files are shot_<K>-seed_<N>_train.jsonl and ..._val.jsonl, one image a line, as those published with 2SFS; paths are
relative to --root.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import CfgOptions, ToolParser, before_imports, call, natural, positive


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('config', help='config of a few-shot method, for its data: a file or a name')
    parser.add_argument('--dataset', metavar='NAME', help='dataset, as in vlprompt train')
    parser.add_argument('--data-root', metavar='DIR', help='folder of the dataset')
    parser.add_argument('--shots', type=positive, nargs='+', default=[1, 2, 4, 8, 16], metavar='K', help='per class')
    parser.add_argument('--seeds', type=natural, nargs='+', default=[1, 2, 3], metavar='N', help='of the draws')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder of the files')
    parser.add_argument('--root', default='data', metavar='DIR', help='folder of all datasets')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='such as draw=clip-lora'
    )
    return parser.parse_args()


before_imports(parse_args, __name__)

from vlprompt.apis.draws import write_draw
from vlprompt.engine.config import load_config
from vlprompt.errors import ConfigError
from vlprompt.registry import DATASETS


def main() -> None:
    args = parse_args()
    given = {key: getattr(args, key) for key in ('dataset', 'data_root') if getattr(args, key) is not None}
    for shots in args.shots:
        cfg = load_config(args.config, given | dict(shots=shots) | (args.cfg_options or {}))
        for split, loader in (('train', cfg.train_dataloader), ('val', cfg.val_dataloader)):
            if loader is None:
                continue
            if not loader.dataset.type.endswith('FewShotDataset'):
                raise ConfigError(f'{args.config} has no shots: its data is a {loader.dataset.type}')
            for seed in args.seeds:
                dataset = DATASETS.build(dict(loader.dataset, seed=seed, pipeline=[]))
                if not dataset.draws:
                    print(f'{split}: no file, since this dataset has no validation images to draw from')
                    break
                file = args.out / f'shot_{shots}-seed_{seed}_{split}.jsonl'
                items = dataset.drawn()
                write_draw(file, items, dataset.reader.image_root, args.root)
                print(f'{file}: {len(items)} images')


if __name__ == '__main__':
    call(main)
