"""Draw what queries find: the query, the nearest gallery images, right ones in green and wrong ones in red.

python tools/analysis_tools/show_rank_list.py configs/clipreid/clipreid_vit-b16_60e_market1501-256x128.py \
    work_dirs/clipreid_vit-b16_60e_market1501-256x128/finetune/epoch_60.pth --queries 8 --out failures.png
... --order best --top-k 5 --rerank --out best.png

Queries are ordered by their average precision, the worst first. Gallery images with the query's identity and camera
are left out, as in the metrics.
"""

import argparse
from pathlib import Path

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from vlprompt.apis import describe_images, init_model, stack_descriptors  # noqa: E402
from vlprompt.engine import cli  # noqa: E402
from vlprompt.engine.options import CfgOptions  # noqa: E402
from vlprompt.evaluation import euclidean_rows  # noqa: E402
from vlprompt.evaluation.reranking import rerank_rows  # noqa: E402
from vlprompt.registry import DATASETS  # noqa: E402
from vlprompt.structures import ReIDSample  # noqa: E402
from vlprompt.visualization import RankList, draw_rank_lists, rank_lists  # noqa: E402


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of a model for re-identification')
    parser.add_argument('checkpoint', help="checkpoint of tools/train.py, or 'none' for the model as it is built")
    parser.add_argument('--queries', type=int, default=8, help='number of queries')
    parser.add_argument(
        '--order', choices=['worst', 'best', 'spread'], default='worst', help='which: by average precision'
    )
    parser.add_argument('--top-k', type=int, default=10, help='gallery images of each')
    parser.add_argument('--rerank', action='store_true', help='order by k-reciprocal re-ranking')
    parser.add_argument('--keep-same-camera', action='store_true', help="images of the query's own camera count")
    parser.add_argument('--out', required=True, metavar='FILE.png', help='picture; the suffix gives the format')
    parser.add_argument('--data-root', metavar='DIR', help='folder of the data')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args(argv)
    if min(args.queries, args.top_k) < 1:
        parser.error('--queries and --top-k must be at least 1')
    return args


def choose(lists: list[RankList], count: int, order: str) -> list[RankList]:
    """``count`` of the lists, which begin with the worst."""
    if order == 'worst':
        return lists[:count]
    if order == 'best':
        return lists[: -count - 1 : -1]
    return [lists[i] for i in np.unique(np.linspace(0, len(lists) - 1, count).round().astype(int))]


def read(sample: ReIDSample) -> np.ndarray:
    with Image.open(sample.img_path) as image:
        return np.asarray(image.convert('RGB'))


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    model = init_model(args.config, checkpoint, args.cfg_options, args.device)
    if args.data_root:
        cli.set_data_root(model.cfg, args.data_root)
    loader = model.cfg.test_dataloader
    samples = describe_images(model, DATASETS.build(loader.dataset), loader.batch_size, loader.num_workers)
    query, gallery = ([s for s in samples if s.is_query == wanted] for wanted in (True, False))
    own, others = stack_descriptors(query), stack_descriptors(gallery)
    rows = (rerank_rows if args.rerank else euclidean_rows)(own.features, others.features)
    lists = rank_lists(rows, own, others, args.top_k, not args.keep_same_camera)
    chosen = choose(lists, args.queries, args.order)

    lines, captions = [], []
    for ranked in chosen:
        found = [gallery[position] for position in ranked.gallery]
        lines.append((ranked, read(query[ranked.query]), [read(sample) for sample in found]))
        wanted = query[ranked.query]
        captions.append(
            (f'{wanted.pid} c{wanted.camid + 1}  AP {100 * ranked.ap:.0f}', [f'{s.pid} c{s.camid + 1}' for s in found])
        )
        hits = ''.join('+' if right else '-' for right in ranked.right)
        print(f'{100 * ranked.ap:6.2f}  {hits}  {wanted.img_path}')
    average = 100 * float(torch.tensor([ranked.ap for ranked in lists]).mean())
    title = f'{Path(args.config).stem}: {len(chosen)} of {len(lists)} queries ({args.order}), mAP {average:.1f} %'
    path = Path(args.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_rank_lists(lines, captions, title).save(path)
    print(path)


if __name__ == '__main__':
    cli.call(main)
