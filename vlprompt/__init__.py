"""vlprompt: prompt learning for CLIP-like models.

Importing the package is cheap: it loads neither torch nor any mm package. The registries
(:mod:`vlprompt.registry`) import the subpackages when a type of theirs is first looked up. It also lets mmdet, if
imported later, find its ops where mmcv was installed without (:mod:`vlprompt.compat.mmcv_ops`).
"""

from .compat.mmcv_ops import ensure_mmcv_ops
from .version import __version__

ensure_mmcv_ops()

__all__ = ['__version__']
