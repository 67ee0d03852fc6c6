"""Write a CLIP whose towers were tuned as plain weights, or its low-rank branches as an adapter of peft.

    vlprompt export-clip clip-lora_vit-b16 iter_8000.pth tuned.safetensors
    vlprompt export-clip clip-lora_vit-b16 iter_8000.pth adapter \
        --peft open_clip
    vlprompt export-clip clip-lora_vit-b16 adapter tuned.safetensors
    vlprompt export-clip clip-lora_vit-b16 iter_8000.pth tuned

Plain weights have open_clip's names, which are OpenAI's for its models: ``--cfg-options
model.clip.weights=tuned.safetensors`` uses them in any config with the same architecture, and open_clip loads them.
Branches are merged into them; layer norms, biases and whole towers that were trained are part of them. A name without
suffix makes a folder in open_clip's form, which also holds the architecture, the preprocessing and the tokenizer:
``model.clip.arch=None model.clip.weights=tuned``, or ``local-dir:tuned`` in open_clip.

The checkpoint may also be the folder of an adapter of peft, for open_clip or transformers, which is merged into the
weights of the config.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument(
        'dst', type=Path, help='file of the weights (.safetensors or .pt), or folder of weights or of an adapter'
    )
    parser.add_argument('--peft', choices=['open_clip', 'transformers'], help='write an adapter in this layout')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from vlprompt.apis import model_from
from vlprompt.apis.runs import read_config
from vlprompt.apis.tuned_clip import merged_adapter, tuned_clip, write_clip
from vlprompt.engine.adapters import is_own_folder
from vlprompt.engine.peft_adapters import write_adapter
from vlprompt.engine.phases import phase_config
from vlprompt.errors import ConfigError


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if Path(args.checkpoint).is_dir() and not is_own_folder(args.checkpoint):
        if args.peft:
            raise ConfigError(f'{args.checkpoint} is a folder, so an adapter already: --peft needs a checkpoint')
        clip, others = merged_adapter(phase_config(read_config(args), args.phase), args.checkpoint), []
    else:
        clip, others = tuned_clip(model_from(args))
    if args.peft:
        write_adapter(clip, args.dst, args.peft)
        print(f'wrote {args.dst}, an adapter of rank {clip.lora.rank} for {args.peft}')
    else:
        about = write_clip(clip, args.dst)
        print(f'wrote {args.dst}, sha256 {about["sha256"][:12]}')
        more = f'quick_gelu={about["quick_gelu"]}' if args.dst.suffix else 'arch=None'
        print(f'use it with --cfg-options model.clip.weights={args.dst} model.clip.{more}')
    if others:
        print(f'not part of it: {", ".join(others)}')


if __name__ == '__main__':
    call(main)
