"""Side information embeddings (SIE): learned vectors for camera and viewpoint (TransReID, ICCV 2021).

CLIP-ReID adds the embedding to the class token only; TransReID adds it to every token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.models.transfer import to_device


class SideInformation(nn.Module):
    """One learned vector for each camera, viewpoint, or pair of both.

    Args:
        width: of the image tower's tokens.
        num_cameras: cameras of the training data; None: cameras are ignored.
        num_views: viewpoints of the training data; None: viewpoints are ignored.
        coefficient: factor of the embedding.
        at_test: ``'own'``: an image gets the vector of its camera and viewpoint; ``'mean'``: the mean of all vectors,
            for images of cameras that were not in the training data.  Training always uses ``'own'``.

    The parameter ``embedding`` is (cameras * views, width); row ``camera * num_views + view``.

    Raises:
        ValueError: neither cameras nor viewpoints.
    """

    def __init__(
        self,
        width: int,
        num_cameras: int | None = None,
        num_views: int | None = None,
        coefficient: float = 1.0,
        at_test: str = 'own',
    ) -> None:
        super().__init__()
        if num_cameras is None and num_views is None:
            raise ValueError('SideInformation needs cameras, viewpoints or both')
        if at_test not in ('own', 'mean'):
            raise ValueError(f"sie.at_test must be 'own' or 'mean', got {at_test!r}")
        self.num_cameras, self.num_views = num_cameras, num_views
        self.coefficient, self.at_test = coefficient, at_test
        self.embedding = nn.Parameter(torch.empty((num_cameras or 1) * (num_views or 1), width))
        nn.init.trunc_normal_(self.embedding, std=0.02)

    @property
    def needs_ids(self) -> bool:
        """Whether camera and viewpoint of the images must be given."""
        return self.training or self.at_test == 'own'

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """The vector added to the class token.

        Args:
            rows: (B,) of the embedding, as :meth:`rows` gives them; None: the mean of all vectors.

        Returns:
            (B, width), or (width,) for all images.
        """
        vectors = self.embedding.mean(0) if rows is None else F.embedding(rows, self.embedding)
        return self.coefficient * vectors

    def rows(self, camids: Sequence[int], viewids: Sequence[int]) -> Tensor:
        """(B,) int64, the rows of the embedding for B images, on its device.

        Args:
            camids: B cameras, counted from 0; unused if cameras are ignored.  They and the viewpoints are numbers of
                the host, where they are compared with those of the training.
            viewids: B viewpoints, counted from 0; unused if viewpoints are ignored.

        Raises:
            ValueError: a camera or viewpoint that the model was not built for.
        """
        rows = [0] * len(camids if self.num_cameras is not None else viewids)
        for ids, count, what in ((camids, self.num_cameras, 'camera'), (viewids, self.num_views, 'viewpoint')):
            if count is None:
                continue
            outside = [number for number in ids if not 0 <= number < count]
            if outside:
                raise ValueError(
                    f'an image has {what} {outside[0]} (counted from 0), but the model was trained on {count}: to '
                    "use it on pictures of other cameras, set model.sie.at_test='mean'"
                )
            rows = [row * count + number for row, number in zip(rows, ids, strict=True)]
        return to_device(torch.tensor(rows), self.embedding.device)

    def extra_repr(self) -> str:
        return f'num_cameras={self.num_cameras}, num_views={self.num_views}, coefficient={self.coefficient}'


def build_side_information(
    visual: nn.Module, counts: Mapping[str, int | None], options: Mapping[str, Any]
) -> SideInformation:
    """Side information for an image tower.

    Args:
        visual: a ViT.
        counts: ``num_cameras`` and ``num_views`` of the training data, as far as known.
        options: ``camera`` (True by default) and ``view`` (False) select what is embedded; ``coefficient`` and
            ``at_test``.

    Raises:
        ValueError: unknown options, a ResNet, or a number that is needed but unknown.
    """
    if unknown := set(options) - {'camera', 'view', 'coefficient', 'at_test'}:
        raise ValueError(f'model.sie takes camera, view, coefficient and at_test, not {sorted(unknown)}')
    if not hasattr(visual, 'class_embedding'):
        raise ValueError('side information is added to a class token, which a ResNet does not have: drop model.sie')
    options = dict(options)
    used = dict(num_cameras=options.pop('camera', True), num_views=options.pop('view', False))
    for name, needed in used.items():
        if needed and counts[name] is None:
            raise ValueError(
                f'side information needs model.{name}: give it where there are no training data and no checkpoint to '
                'read it from'
            )
    return SideInformation(visual.width, **{name: counts[name] if used[name] else None for name in used}, **options)
