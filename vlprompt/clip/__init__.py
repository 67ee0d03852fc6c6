"""Everything that is CLIP: towers, tokenizer, weights. Plain torch, no task logic."""

from .architectures import ARCHITECTURES, Architecture, find_architecture
from .build import build_clip
from .features import ClipFeatures
from .model import CLIP, ClipSource
from .resnet import ModifiedResNet
from .text_encoder import TextEncoder
from .timm_vit import build_timm_vit
from .tokenizer import bpe_lengths, decode, encode, tokenize
from .tokens import PromptTokens
from .visual_prompts import PromptChoice, run_blocks
from .vit import VisionTransformer

__all__ = [
    'ARCHITECTURES',
    'CLIP',
    'Architecture',
    'ClipFeatures',
    'ClipSource',
    'ModifiedResNet',
    'PromptChoice',
    'PromptTokens',
    'TextEncoder',
    'VisionTransformer',
    'bpe_lengths',
    'build_clip',
    'build_timm_vit',
    'decode',
    'encode',
    'find_architecture',
    'run_blocks',
    'tokenize',
]
