"""Image trunks for dense prediction: stage maps for a neck or head, and embeddings in CLIP's joint space."""

from vlprompt.models.backbones.attention_pooled import AttentionPooledTrunk
from vlprompt.models.backbones.clip_trunk import ClipTrunk
from vlprompt.models.backbones.feature_pyramid import FeaturePyramid

__all__ = ['AttentionPooledTrunk', 'ClipTrunk', 'FeaturePyramid']
