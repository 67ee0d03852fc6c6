"""Alignments compare image and text: each one maps (ClipFeatures, text ([B,] P, K, D), logit scale) to an Alignment."""

from vlprompt.alignment.base import Alignment
from vlprompt.alignment.cosine import CosineAlignment
from vlprompt.alignment.key_matching import KeyMatch, match_keys, spherical_kmeans
from vlprompt.alignment.score_map import score_map
from vlprompt.alignment.sinkhorn import SinkhornResult, plan_deviation, plan_entropy, sinkhorn
from vlprompt.alignment.transport import TransportAlignment, UniformAlignment

__all__ = [
    'Alignment',
    'CosineAlignment',
    'KeyMatch',
    'SinkhornResult',
    'TransportAlignment',
    'UniformAlignment',
    'match_keys',
    'plan_deviation',
    'plan_entropy',
    'score_map',
    'sinkhorn',
    'spherical_kmeans',
]
