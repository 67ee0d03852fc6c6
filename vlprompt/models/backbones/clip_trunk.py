"""CLIP's image tower as a backbone of mmseg and mmdet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vlprompt.clip import CLIP, ClipFeatures, ModifiedResNet, VisionTransformer, build_clip
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.clip.low_rank import refuse_text_lora
from vlprompt.models.backbones.feature_pyramid import FeaturePyramid
from vlprompt.registry import MODELS


@MODELS.register_module()
class ClipTrunk(nn.Module):
    """CLIP's ResNet or ViT, giving maps at the strides 4, 8, 16 and 32.

    * ``trunk(images)``: the four maps, all that a plain segmentor or detector needs;
    * ``trunk.embed(images)``: the maps together with global and dense embedding in the joint space.

    A ResNet's maps are the outputs of its stages; a ViT's are the patch tokens after four of its blocks, resampled by
    a randomly initialised :class:`~vlprompt.models.backbones.FeaturePyramid`.

    Args:
        clip: arguments of :func:`~vlprompt.clip.build_clip`, or a CLIP, whose image tower is used.
        joint: keep the projection into the joint space, which :meth:`embed` needs.  Otherwise these parameters,
            which would get no gradient, are removed.
        official: add a ViT's class embedding twice, as the published DenseCLIP weights need it.
        first_map: index of the first map returned: 1 for necks that begin at stride 8.  A ViT does not compute the maps
            before it.

    Attributes:
        channels: C_i of the maps.

    Raises:
        ValueError: a ViT that does not give four maps, or patches that are neither 8 nor 16 pixels.
    """

    nested = dict(clip=build_clip)

    def __init__(
        self, clip: CLIP | Mapping[str, Any], joint: bool = False, official: bool = False, first_map: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(clip, CLIP):
            clip = build_clip(**clip)
            refuse_text_lora(clip, 'a ClipTrunk')
        self.visual = clip.visual
        if not isinstance(self.visual, (ModifiedResNet, VisionTransformer)):
            raise ValueError(f"ClipTrunk takes CLIP's ResNets and ViTs; {clip.arch.name} has {clip.arch.described}")
        if not joint:
            refuse_unread_local(self.visual, 'without joint=True the trunk has no local features')
        self.joint, self.official = joint, official
        self.is_vit = isinstance(self.visual, VisionTransformer)
        if len(self.visual.stage_channels) != 4:
            raise ValueError(
                f'ClipTrunk needs four maps, but the ViT gives them after the blocks {self.visual.out_indices}; '
                'set clip.vision=dict(out_indices=...) to four blocks'
            )
        self.first_map, self.channels = first_map, tuple(self.visual.stage_channels[first_map:])
        self.pyramid = FeaturePyramid(self.visual.width, self.visual.patch_size, first_map) if self.is_vit else None
        if not joint:
            for name in ('ln_post', 'proj') if self.is_vit else ('attnpool',):
                delattr(self.visual, name)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalised images (B, 3, H, W) -> four maps (B, C_i, H / s_i, W / s_i), s = 4, 8, 16, 32."""
        return self._resample(self.visual.stages(images, **self._class_offset()))

    def embed(self, images: Tensor) -> ClipFeatures:
        """Maps and embeddings of normalised images (B, 3, H, W).

        Returns:
            ClipFeatures with ``cls (B, D)``, ``local (B, N, D)`` and the four maps; nothing normalised.

        Raises:
            RuntimeError: the trunk was built without ``joint``.
        """
        if not self.joint:
            raise RuntimeError('ClipTrunk.embed() needs the projection into the joint space: build it with joint=True')
        features = self.visual(images, **self._class_offset())
        features.maps = self._resample(features.maps)
        return features

    def _class_offset(self) -> dict[str, Tensor]:
        return dict(class_offset=self.visual.class_embedding) if self.is_vit and self.official else {}

    def _resample(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return maps[self.first_map :] if self.pyramid is None else self.pyramid(maps)
