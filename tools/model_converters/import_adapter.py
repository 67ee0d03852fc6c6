"""Make a checkpoint from a LoRA adapter of peft, in the layout of open_clip or transformers.

    vlprompt import-adapter clip-lora_vit-b16 adapter adapter.pth
    vlprompt test clip-lora_vit-b16 adapter.pth --dataset dtd

The config's ``model.clip.lora`` must have branches of the adapter's rank at the same places. An adapter of another form
can be merged into plain weights: vlprompt export-clip.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_config_options, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_config_options(parser)
    parser.add_argument('folder', type=Path, help='with adapter_config.json and adapter_model.safetensors')
    parser.add_argument('dst', type=Path, help='the checkpoint (.pth)')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from vlprompt.apis.runs import read_config
from vlprompt.apis.tuned_clip import adapter_checkpoint
from vlprompt.engine.phases import phase_config
from vlprompt.engine.writing import write_checkpoint


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    content = adapter_checkpoint(phase_config(read_config(args)), args.folder)
    write_checkpoint(content, args.dst)
    print(f'wrote {args.dst}: {len(content["state_dict"])} tensors')


if __name__ == '__main__':
    call(main)
