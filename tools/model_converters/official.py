"""Convert a checkpoint of an official repository into one that init_model and vlprompt test load.

    vlprompt official coop output/prompt_learner/model.pth.tar-200 coop.pth
    vlprompt official plot output/prompt_learner/model.pth.tar-200 plot.pth
    vlprompt official cocoop output/prompt_learner/model.pth.tar-10 cocoop.pth
    vlprompt official maple output/MultiModalPromptLearner/model.pth.tar-5 maple.pth
    vlprompt official plotpp output/prompt_learner/model.pth.tar-200 plotpp.pth
    vlprompt official ivlp output/VLPromptLearner/model.pth.tar-5 ivlp.pth
    vlprompt official vpt-clip output/prompt_learner/model.pth.tar-5 vpt.pth
    vlprompt official promptsrc output/VLPromptLearner/model.pth.tar-20 promptsrc.pth
    vlprompt official clip-lora vitb16/dtd/16shots/seed1/lora_weights.pt clip-lora.pth
    vlprompt official tip-adapter caches/dtd/keys_16shots.pt tip-adapter.pth
    vlprompt official tip-adapter caches/dtd/best_F_16shots.pt tip-adapter-f.pth
    vlprompt official denseclip-det detection/retina_rn50.pth denseclip_retinanet_r50.pth
    vlprompt official clip-reid Market1501_clipreid_ViT-B-16_60.pth clipreid.pth
    vlprompt official clip-reid-prompts ViT-B-16_stage1_120.pth prompts.pth
    vlprompt official lpt LPT_places.pth lpt.pth
    vlprompt official vpt prompt_ep100.pth vpt.pth

Of tip-adapter, values_16shots.pt is read too, which must lie beside the keys; the files hold no alpha and beta, so that
the result has those of the config with which it is loaded.

Only learned tensors are kept. The file is read without running any code in it, so pickled schedulers and the like
are harmless. The base weights are those of the config with which the result is loaded.
"""

from __future__ import annotations

import argparse

from vlprompt.apis.command_line import ToolParser, before_imports, call, positive


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('method', help='which repository wrote the checkpoint, see above')
    parser.add_argument('src', help='the official checkpoint; of tip-adapter also the folder of a cache')
    parser.add_argument('dst', help='where to write ours (.pth)')
    parser.add_argument(
        '--num-views',
        type=positive,
        metavar='N',
        help='viewpoints of the dataset of a clip-reid checkpoint with side information, which only tells the product '
        'of cameras and viewpoints (default: 1, or 8 if the sizes are those of VeRi-776)',
    )
    return parser.parse_args()


before_imports(parse_args, __name__)

from vlprompt.compat.official import CONVERTERS, OPENERS, convert, describe
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError, ConfigError

PHASES = {'clip-reid': 'finetune', 'clip-reid-prompts': 'prompts', 'plotpp': 'joint'}
"""Method -> the phase of our configs that learns the same tensors."""


def main() -> None:
    args = parse_args()
    if args.method not in CONVERTERS:
        raise ConfigError(f'no method {args.method!r}; there are {", ".join(sorted(CONVERTERS))}')
    content = OPENERS.get(args.method, read_checkpoint)(args.src)
    options = {} if args.num_views is None else dict(num_views=args.num_views)
    try:
        found = describe(args.method, content, **options)
        state = convert(args.method, content)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f'{args.src}: {error.args[0]}') from error
    except (RuntimeError, IndexError, TypeError) as error:  # of tensors with the right names and wrong shapes
        raise CheckpointError(f'{args.src}: its tensors do not have the shapes of {args.method}: {error}') from error
    description = dict(class_names=None, trained_keys=list(state), converted_from=args.method) | found
    meta = dict(vlprompt=description) | ({'phase': PHASES[args.method]} if args.method in PHASES else {})
    write_checkpoint(dict(meta=meta, state_dict=state), args.dst)
    for name, tensor in state.items():
        print(f'{name}: {tuple(tensor.shape)}')
    for what, value in found.items():
        print(f'{what}: {value}')
    print(f'wrote {args.dst}')


if __name__ == '__main__':
    call(main)
