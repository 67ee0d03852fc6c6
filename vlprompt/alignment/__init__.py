"""How text meets image: each alignment maps (ClipFeatures, text (P, K, D), logit scale) to an Alignment."""

from vlprompt.alignment.base import Alignment
from vlprompt.alignment.cosine import CosineAlignment
from vlprompt.alignment.score_map import score_map
from vlprompt.alignment.sinkhorn import SinkhornResult, plan_entropy, sinkhorn
from vlprompt.alignment.transport import TransportAlignment, UniformAlignment

__all__ = [
    'Alignment',
    'CosineAlignment',
    'SinkhornResult',
    'TransportAlignment',
    'UniformAlignment',
    'plan_entropy',
    'score_map',
    'sinkhorn',
]
