"""Reading checkpoints of the official repositories: selecting the learned tensors and renaming them.

A converter takes the official state dict and returns ours, with learned tensors only.  For prompts on frozen towers,
class-dependent buffers (``token_prefix``, ``token_suffix``) and copies of CLIP are dropped: they follow from the class
names and the base weights.  If the towers were trained too (DenseCLIP), they are part of the result.
"""

from vlprompt.compat.official import clip_lora, clip_reid, denseclip, few_shot, long_tailed, tip_adapter
from vlprompt.compat.official.registry import CONVERTERS, OPENERS, State, convert, converter, describe

__all__ = [
    'CONVERTERS',
    'OPENERS',
    'State',
    'clip_lora',
    'clip_reid',
    'convert',
    'converter',
    'denseclip',
    'describe',
    'few_shot',
    'long_tailed',
    'tip_adapter',
]
