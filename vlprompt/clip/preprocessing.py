"""How images were prepared when a CLIP was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

INTERPOLATIONS = ('bicubic', 'bilinear')
RESIZE_MODES = ('shortest', 'squash')


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an input of the image tower; by default as in CLIP.

    Args:
        mean: of the R, G, B channels in units of [0, 1], subtracted.
        std: of the same channels, divided by.
        interpolation: ``'bicubic'`` or ``'bilinear'``.
        resize_mode: ``'shortest'``: the shorter side is resized, the centre is cropped; ``'squash'``: both sides are
            resized, whatever the proportions.

    Raises:
        ValueError: another value.
    """

    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    interpolation: str = 'bicubic'
    resize_mode: str = 'shortest'

    def __post_init__(self) -> None:
        for name, known in (('interpolation', INTERPOLATIONS), ('resize_mode', RESIZE_MODES)):
            if getattr(self, name) not in known:
                raise ValueError(f'preprocessing: {name} must be one of {known}, got {getattr(self, name)!r}')
        for name in ('mean', 'std'):
            values = getattr(self, name)
            if len(values) != 3:
                raise ValueError(f'preprocessing: {name} needs three values, got {values}')

    def __str__(self) -> str:
        moments = {(CLIP_MEAN, CLIP_STD): 'CLIP'}.get((self.mean, self.std), f'{self.mean[0]:g}/{self.std[0]:g}')
        return f'{self.resize_mode}, {self.interpolation}, {moments}'

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Preprocessing:
        """From open_clip's ``preprocess_cfg``, or the options of a tag; what it leaves out is as in CLIP.

        Numbers that are CLIP's up to rounding are taken as CLIP's.
        """
        values = {name: given[name] for name in ('interpolation', 'resize_mode') if given.get(name)}
        for name, usual in (('mean', CLIP_MEAN), ('std', CLIP_STD)):
            own = tuple(map(float, given.get(name) or usual))
            same = len(own) == 3 and all(abs(a - b) < 1e-3 for a, b in zip(own, usual, strict=True))
            values[name] = usual if same else own
        return cls(**values)
