"""Draw rank lists: the query and its nearest gallery images, right ones in green and wrong ones in red.

vlprompt show-rank-list clipreid_vit-b16 \
    work_dirs/clipreid_vit-b16_market1501/finetune/epoch_60.pth --queries 8 --out failures.png
vlprompt show-rank-list clipreid_vit-b16 \
    work_dirs/clipreid_vit-b16_market1501/finetune/epoch_60.pth --order best --top-k 5 --rerank --out best.png

Queries are ordered by their average precision, the worst first. Images are ranked as the config's test_evaluator does:
by default, gallery images with the query's identity and camera are ignored.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('--queries', type=positive, default=8, help='number of queries')
    parser.add_argument(
        '--order', choices=['worst', 'best', 'spread'], default='worst', help='which: by average precision'
    )
    parser.add_argument('--top-k', type=positive, default=10, help='gallery images of each')
    ranking = parser.add_mutually_exclusive_group()
    ranking.add_argument('--rerank', action='store_true', help='order by k-reciprocal re-ranking')
    ranking.add_argument('--rescore', action='store_true', help='order by training-free re-scoring')
    parser.add_argument('--keep-same-camera', action='store_true', help="images of the query's own camera count")
    parser.add_argument('--out', required=True, metavar='FILE.png', help='picture; the suffix gives the format')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import numpy as np
import torch

from vlprompt.apis import describe_images, model_from, retrieval_metric, stack_descriptors
from vlprompt.datasets.exif import applies_exif
from vlprompt.engine.hooks.data import agree_with_data
from vlprompt.registry import DATASETS
from vlprompt.visualization import RankList, draw_rank_lists, rank_lists, read_image


def choose(lists: list[RankList], count: int, order: str) -> list[RankList]:
    """``count`` of the lists, which begin with the worst."""
    if order == 'worst':
        return lists[:count]
    if order == 'best':
        return lists[: -count - 1 : -1]
    return [lists[i] for i in np.unique(np.linspace(0, len(lists) - 1, count).round().astype(int))]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)
    loader = model.cfg.test_dataloader
    dataset = DATASETS.build(loader.dataset)
    agree_with_data(model, dataset, f'the test set of {args.config}')
    samples = describe_images(model, dataset, loader.batch_size, loader.num_workers)
    query, gallery = ([s for s in samples if s.is_query == wanted] for wanted in (True, False))
    images, is_query = stack_descriptors(samples), torch.tensor([s.is_query for s in samples])
    own, others = images.take(is_query), images.take(~is_query)
    metric = retrieval_metric(model.cfg)
    if metric.own_files == 'keep':
        own, others = own._replace(files=None), others._replace(files=None)
    rows = metric.distances(own, others, 'rerank' if args.rerank else 'rescore' if args.rescore else 'plain')
    lists = rank_lists(rows, own, others, args.top_k, metric.removes_same_camera and not args.keep_same_camera)
    chosen = choose(lists, args.queries, args.order)

    upright = applies_exif(loader.dataset.pipeline)
    lines, captions = [], []
    for ranked in chosen:
        found = [gallery[position] for position in ranked.gallery]
        pictures = [read_image(sample.img_path, upright) for sample in (query[ranked.query], *found)]
        lines.append((ranked, pictures[0], pictures[1:]))
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
    call(main)
