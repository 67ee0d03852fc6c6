"""DenseCLIP whose classes are free: pixels are compared with text instead of classified by a trained layer.

After LSeg (Li et al., ICLR 2022, section 3), whose decoder ends in the space of the text features.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.models.dense.backbone import as_clip
from vlprompt.models.dense.class_names import dense_class_names
from vlprompt.models.segmentors.decode_heads import FPNHead
from vlprompt.models.segmentors.denseclip import ConfigType, DenseCLIP
from vlprompt.registry import MODELS


@MODELS.register_module()
class TextFPNHead(FPNHead):
    """Semantic FPN that ends in the joint space of CLIP: logits are scaled cosines of pixels and text.

    No parameter belongs to a class.  The factor of the cosines is learned from 1 / 0.07 on.

    Args:
        text_channels: C of the text features; :class:`OpenDenseCLIP` sets it.
        **kwargs: of :class:`~vlprompt.models.segmentors.FPNHead`; ``in_index`` counts the text as input 0.
    """

    def __init__(self, text_channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv_seg = nn.Conv2d(self.channels, text_channels, kernel_size=1)
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """(B, K, h, w) logits of text (B, K, C), the first of the inputs, and maps."""
        pixels = F.normalize(super().forward(inputs).float(), dim=1)
        text = F.normalize(inputs[0].float(), dim=-1)
        with torch.autocast(pixels.device.type, enabled=False):
            return torch.einsum('bchw,bkc->bkhw', pixels, text) * self.logit_scale.exp()


@MODELS.register_module()
class OpenDenseCLIP(DenseCLIP):
    """:class:`DenseCLIP` that takes any number of other class names after training.

    Scores are not concatenated to the maps, since that ties neck and head to the K classes of the training, and the
    decode head is a :class:`TextFPNHead`.  Text, context decoder and pixel-text loss are DenseCLIP's.

    Args:
        backbone: as of :class:`DenseCLIP`, without ``score_concat``.
        decode_head: config of a :class:`TextFPNHead`, whose ``in_index`` counts the text as input 0.
        **kwargs: as of :class:`DenseCLIP`, except ``text_head``; auxiliary heads have a fixed number of classes too.

    Raises:
        ValueError: scores that are concatenated, an auxiliary head, or as for :class:`DenseCLIP`.
    """

    open_vocabulary = True

    def __init__(self, backbone: ConfigType, decode_head: ConfigType, **kwargs: Any) -> None:
        tied = {'backbone.score_concat': backbone.get('score_concat'), 'auxiliary_head': kwargs.get('auxiliary_head')}
        for name, value in tied.items():
            if value is not None:
                raise ValueError(f'OpenDenseCLIP: {name} has channels for one set of classes: set it to None')
        clip = as_clip(backbone['clip'])
        decode_head = dict(decode_head, text_channels=clip.embed_dim)
        super().__init__(dict(backbone, clip=clip), decode_head, text_head=True, **kwargs)

    def set_class_names(self, class_names: str | Sequence[str]) -> None:
        """Label by other classes from now on, of any number.

        Raises:
            ValueError: a name that does not fit the prompt's ``context_length``, or a single one.
        """
        names = dense_class_names(class_names, self.class_names_of)
        if len(names) < 2:
            raise ValueError(f'OpenDenseCLIP labels by the most similar of at least two names, got {", ".join(names)}')
        super().set_class_names(names)
        self.num_classes = self.backbone.num_classes = self.decode_head.num_classes = len(names)
        self.decode_head.out_channels = self.out_channels = len(names)
