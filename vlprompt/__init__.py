"""vlprompt: prompt learning for CLIP-like models.

Importing the package is cheap: it loads neither torch nor any mm package. The registries
(:mod:`vlprompt.registry`) import the subpackages when a type of theirs is first looked up.
"""

from .version import __version__

__all__ = ['__version__']
