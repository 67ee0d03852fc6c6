"""Write a trained model as a file that stands alone, and compare the file with the model.

vlprompt export coop_micro-vit work_dirs/coop_micro-vit_scenes_16shot/epoch_50.pth \
    --out coop.onnx
vlprompt export denseclip_micro-rn_fpn_200i_scenes-160x160 iter_200.pth \
    --any-size --out dense.onnx
vlprompt export zero-shot_vit-b16 none --dataset dtd --format folded \
    --out classifier.safetensors

--format onnx: for onnxruntime and the like; tools/onnx_inference.py predicts with it, without torch. torch-export: for
torch.export.load, from Python and, compiled, from C++. Both hold the image tower and the classes; text is computed once
and is a constant, unless it depends on the image (CoCoOp, pre-model prompting): then the text tower is in the file,
which takes one image at a time. folded: class weights alone, for the open_clip model of the same weights.

The file takes normalised images (B, 3, H, W) and gives logits (classification, segmentation) or features of unit
length (re-identification). It also holds the names of the classes and how images are prepared (docs/export.md).

The comparison is made on images of the test set, or on noise with --random-images. It is printed; if a difference
exceeds the tolerance the file is not kept and the exit status is 1.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('--format', choices=['onnx', 'torch-export', 'folded'], default='onnx', help='form of the file')
    parser.add_argument(
        '--out', required=True, type=Path, metavar='FILE', help='such as model.onnx, .pt2, .safetensors'
    )
    parser.add_argument('--half', action='store_true', help='compute in float16; inputs and outputs stay float32')
    parser.add_argument('--any-size', action='store_true', help='for images of any size instead of one')
    parser.add_argument(
        '--size', nargs=2, type=positive, metavar=('H', 'W'), help='of the images (default: that of the test set)'
    )
    parser.add_argument('--images', type=positive, default=8, metavar='N', help='compared images')
    parser.add_argument('--random-images', action='store_true', help='compare on noise instead of the test set')
    parser.add_argument(
        '--tolerance',
        type=float,
        help='largest difference, relative to the largest output (default: 1e-4, with --half 2e-2)',
    )
    args = parser.parse_args(argv)
    if args.device != 'cpu':
        parser.error('--device: files are written and compared on the CPU')
    return args


before_imports(parse_args, __name__)

from vlprompt.apis import model_from
from vlprompt.export import export_model
from vlprompt.export.files import check_packages


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    check_packages(args.format)
    comparisons = export_model(
        model_from(args),
        args.out,
        args.format,
        half=args.half,
        any_size=args.any_size,
        size=args.size and tuple(args.size),
        images=args.images,
        random_images=args.random_images,
        tolerance=args.tolerance,
    )
    for comparison in comparisons:
        print(comparison)
    print(f'wrote {args.out}, {args.out.stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
    call(main)
