"""The built-in world: small scenes with captions, labels, masks and boxes, generated from a seed.

>>> from vlprompt.datasets.generated import generate
>>> scene = generate(seed=0, index=3, size=128)
>>> scene.image.shape, scene.captions[0], [item.box for item in scene.objects]
"""

from vlprompt.datasets.generated.classes import (
    LONG_TAILED_CLASSES,
    OBJECT_CLASSES,
    SCENE_CLASSES,
    SEGMENTATION_CLASSES,
)
from vlprompt.datasets.generated.render import Scene, SceneObject, generate, render
from vlprompt.datasets.generated.spec import ObjectSpec, SceneSpec, pretraining_options, sample_spec

__all__ = [
    'LONG_TAILED_CLASSES',
    'OBJECT_CLASSES',
    'SCENE_CLASSES',
    'SEGMENTATION_CLASSES',
    'ObjectSpec',
    'Scene',
    'SceneObject',
    'SceneSpec',
    'generate',
    'pretraining_options',
    'render',
    'sample_spec',
]
