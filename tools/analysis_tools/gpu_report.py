"""Measure this toolbox on a GPU with one command, and write Markdown and JSON.

    vlprompt gpu-report --out gpu_report
    vlprompt gpu-report --sections "text tower" prompts --minutes 4
    vlprompt gpu-report --device cpu          # micro models: shows that it runs

Times, kernels, waits of the host, peak memory, FLOP/s and the share of what the GPU can do: of the text tower, training
steps and tests, transport plans, retrieval and slide tests, from the most important on; and whether numbers agree with
those of a CPU and, with --golden, with reference outputs. Models have random weights: nothing is downloaded, and no
data are read. Every result is kept at once; the same command goes on with what is missing for this device, torch and
commit.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call

SECTIONS = ('text tower', 'prompts', 'sinkhorn', 'clip-reid', 'denseclip', 'lpt', 'lora', 'numbers')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('--out', type=Path, default=Path('gpu_report'), help='folder of the results')
    parser.add_argument(
        '--sections', nargs='+', choices=SECTIONS, default=list(SECTIONS), help='what to measure (default: all)'
    )
    parser.add_argument('--minutes', type=float, default=8.0, help='that it may take')
    parser.add_argument('--device', help='such as cuda:1 (default: cuda, or cpu where there is none)')
    parser.add_argument('--golden', type=Path, metavar='DIR', help='folder of reference numbers, with golden.py')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import logging

import torch
from mmengine.logging import MMLogger

from vlprompt.apis.gpu_report import Setting, write_report
from vlprompt.precision import allow_tf32


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level=logging.ERROR)
    device = torch.device(args.device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    allow_tf32(True)
    setting = Setting(device, small=device.type == 'cpu', golden=args.golden)
    report, left = write_report(args.out, setting, args.sections, args.minutes)
    print(f'\n{report.markdown()}\nWritten to {report.path.with_suffix(".md")} and {report.path.name}')
    if left:
        print(f'{left} measurements are left; the same command goes on with them')


if __name__ == '__main__':
    call(main)
