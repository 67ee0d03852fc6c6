"""Compute and store the descriptors of all images in a folder, for searches from Python.

vlprompt extract-features clipreid_vit-b16 \
    work_dirs/clipreid_vit-b16_market1501/finetune/epoch_60.pth photos --out gallery

The folder then holds gallery.safetensors, with ``features`` (N, D) float32, rows of length 1, and gallery.json, with
``names``, the N paths below the folder of the images; ``vlprompt.apis.GalleryIndex.load`` reads it. Images go through
the config's test pipeline. A model with side information needs their camera: give --camera, or use the mean of all
cameras with --cfg-options model.sie.at_test=mean. Images that cannot be read are left out and listed at the end, with
exit status 1; files that are no images by their suffix are counted.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call, natural, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('folder', type=Path, help='images, at any depth')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the index')
    parser.add_argument('--camera', type=natural, default=0, help='camera of the images, counted from 1 (0: unknown)')
    parser.add_argument('--batch-size', type=positive, default=64, help='images of a batch')
    parser.add_argument('--workers', type=natural, default=2, help='processes that load images')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from vlprompt.apis import GalleryIndex, ReIDInferencer, model_from
from vlprompt.apis.inference import LeftOut
from vlprompt.errors import ConfigError


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.folder.exists() and not args.folder.is_dir():
        raise ConfigError(f'{args.folder} is a file, not a folder: give the folder that the image lies in')
    if args.out.is_file() or args.out.suffix == '.npz':
        raise ConfigError(f'--out {args.out}: an index is a folder, with a file of descriptors and one of names')
    left_out = LeftOut()
    paths = left_out.files_of([args.folder], results=args.out)
    infer = ReIDInferencer(model_from(args), camid=args.camera - 1)
    index = GalleryIndex()
    for found in infer.stream(paths, batch_size=args.batch_size, num_workers=args.workers, progress=False):
        if found.error is not None:
            left_out(found.name, found.error)
        else:
            index.add(infer.to_array(found), [Path(found.name).relative_to(args.folder).as_posix()])
    if len(index):
        index.save(args.out)
        print(f'{args.out}: {len(index)} descriptors of length {index.features.shape[1]}')
    left_out.end()


if __name__ == '__main__':
    call(main)
