"""A stand-in for the compiled ops of mmcv (``mmcv._ext``) if mmcv was installed without them.

mmdet imports ``mmcv._ext``, which needs a compiler and a quarter of an hour to build. :func:`ensure_mmcv_ops`, called
when vlprompt is imported, lets Python find a module of that name in :mod:`~vlprompt.compat.mmcv_ops.extension` if it
finds none elsewhere. Nothing is loaded before ``mmcv.ops`` is, and a compiled mmcv is used unchanged.

Import vlprompt, or in other projects this package alone, before mmdet. ``docs/mmcv_ops.md`` lists the ops.
"""

from vlprompt.compat.mmcv_ops.install import OPS, PROVIDED, compiled_ops, ensure_mmcv_ops, ops_in_use

__all__ = ['OPS', 'PROVIDED', 'compiled_ops', 'ensure_mmcv_ops', 'ops_in_use']
