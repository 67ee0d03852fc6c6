"""mmseg's decode heads, whose training step reads nothing from the device."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.models.decode_heads import FCNHead as MmsegFCNHead
from mmseg.models.decode_heads import FPNHead as MmsegFPNHead
from mmseg.models.decode_heads import UPerHead as MmsegUPerHead
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from vlprompt.registry import MODELS


class CountedAccuracy:
    """Mix into a decode head of mmseg: the same losses, and ``acc_seg`` from counts.

    mmseg selects the labelled pixels with a mask, for whose number the host waits, twice in every step.  Logits are
    resized and compared in float32, also under autocast.
    """

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """Losses by name, and ``acc_seg``, percent of the labelled pixels whose class scores highest.

        Args:
            seg_logits: (B, K, h, w).
            batch_data_samples: B samples with ``gt_sem_seg`` (1, H, W).
        """
        labels = self._stack_batch_gt(batch_data_samples)
        logits = resize(seg_logits.float(), size=labels.shape[2:], mode='bilinear', align_corners=self.align_corners)
        weight = None if self.sampler is None else self.sampler.sample(logits, labels)
        labels = labels.squeeze(1)
        terms: dict[str, Tensor] = {}
        for term in self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]:
            value = term(logits, labels, weight=weight, ignore_index=self.ignore_index)
            terms[term.loss_name] = terms[term.loss_name] + value if term.loss_name in terms else value
        labelled = labels != self.ignore_index
        right = (logits.argmax(1) == labels) & labelled
        return terms | dict(acc_seg=100 * right.sum() / labelled.sum().clamp(min=1))


@MODELS.register_module()
class FPNHead(CountedAccuracy, MmsegFPNHead):
    """Semantic FPN, see :class:`mmseg.models.FPNHead`."""


@MODELS.register_module()
class UPerHead(CountedAccuracy, MmsegUPerHead):
    """UPerNet, see :class:`mmseg.models.UPerHead`."""


@MODELS.register_module()
class FCNHead(CountedAccuracy, MmsegFCNHead):
    """A convolutional head, see :class:`mmseg.models.FCNHead`."""
