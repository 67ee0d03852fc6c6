"""CLIP: towers, tokenizer, weights. Plain torch, no task logic."""

from vlprompt.clip.architectures import ARCHITECTURES, Architecture, find_architecture
from vlprompt.clip.build import build_clip
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.low_rank import LoraOptions, add_lora, merge_lora
from vlprompt.clip.model import CLIP, ClipSource
from vlprompt.clip.resnet import ModifiedResNet
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.packing import TextLayout
from vlprompt.clip.text.tokenizer import bpe_lengths, decode, encode, tokenize
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.clip.timm_vit import build_timm_vit
from vlprompt.clip.visual_prompts import PromptChoice, VisualTokens, run_blocks
from vlprompt.clip.vit import VisionTransformer

__all__ = [
    'ARCHITECTURES',
    'CLIP',
    'Architecture',
    'ClipFeatures',
    'ClipSource',
    'LoraOptions',
    'ModifiedResNet',
    'PromptChoice',
    'PromptTokens',
    'TextEncoder',
    'TextLayout',
    'VisionTransformer',
    'VisualTokens',
    'add_lora',
    'bpe_lengths',
    'build_clip',
    'build_timm_vit',
    'decode',
    'encode',
    'find_architecture',
    'merge_lora',
    'run_blocks',
    'tokenize',
]
