"""Prompts held near the CLIP that they began from: PromptSRC (Khattak et al., ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.alignment import Alignment
from vlprompt.models.classifiers.base import ConfigType
from vlprompt.models.classifiers.text_classifier import TextClassifier
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.registry import MODELS


@MODELS.register_module()
class SelfRegulatedClassifier(TextClassifier):
    """A :class:`TextClassifier` whose teacher is the same towers without learned prompts.

    With features v of an image and t of a class, of length 1, logits z, teacher's values starred, and the means over
    all elements, a step minimises::

        cross-entropy + w_t mean |t - t*| + w_v mean |v - v*| + w_z mean over classes of KL(softmax z* || softmax z)

    t* is the mean of a class's features over many templates, and v* that of the same augmented image.  Only the student
    takes part in a test.

    Args:
        teacher: config of the teacher's text prompt, without learned parameters: a
            :class:`~vlprompt.prompts.TemplatePrompt`.
        text_weight: w_t, lambda 2 of the paper.
        image_weight: w_v, lambda 1 of the paper.
        logit_weight: w_z; the divergence is divided by the number of classes, as published.
        **kwargs: of :class:`TextClassifier`.

    Raises:
        ValueError: a tower is trained, several prompts per class, or text that depends on the image.
    """

    def __init__(
        self,
        teacher: ConfigType,
        text_weight: float = 25.0,
        image_weight: float = 10.0,
        logit_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.text_weight, self.image_weight, self.logit_weight = text_weight, image_weight, logit_weight
        if self.prompt.n_prompts != 1 or self.prompt.needs_image:
            raise ValueError(
                'SelfRegulatedClassifier: one text feature per class is compared with the teacher: use a prompt with '
                'n_prompts=1 that does not depend on the image'
            )
        if trained := [name for name, p in self.clip.named_parameters() if p.requires_grad]:
            raise ValueError(
                f'SelfRegulatedClassifier: the teacher is the towers without prompts, which must be frozen; '
                f'trainable names clip.{trained[0]}'
            )
        self.teacher = MODELS.build(teacher, default_args=dict(class_names=self.class_names, text=self.clip.text))
        self._teacher_cache = FeatureCache()

    def set_class_names(self, class_names: str | Sequence[str]) -> None:
        super().set_class_names(class_names)
        self.teacher.set_class_names(self.class_names)
        self._teacher_cache.clear()

    @torch.no_grad()
    def teacher_text(self) -> Tensor:
        """(K, D) normalised mean of the teacher's text features, computed once for a set of classes."""
        compute = lambda: F.normalize(self.teacher.encode(self.clip.text).float().mean(0), dim=-1)  # noqa: E731
        return self._teacher_cache(compute, (self.teacher, self.clip.text))

    @torch.no_grad()
    def teacher_image(self, inputs: Tensor) -> Tensor:
        """(B, D) normalised features of normalised images (B, 3, H, W) without visual prompts."""
        return F.normalize(self.clip.encode_image(inputs, local=False, maps=False).cls.float(), dim=-1)

    def auxiliary_terms(self, aligned: Alignment, inputs: Tensor) -> dict[str, Tensor]:
        text, image = (F.normalize(x.float(), dim=-1) for x in (aligned.text[0], aligned.image.cls))
        teacher_text, teacher_image = self.teacher_text(), self.teacher_image(inputs)
        teacher_logits = self.logit_scale.float() * teacher_image @ teacher_text.t()
        logits, teacher = aligned.logits.float().log_softmax(1), teacher_logits.log_softmax(1)
        divergence = F.kl_div(logits, teacher, reduction='none', log_target=True).mean()
        return super().auxiliary_terms(aligned, inputs) | dict(
            loss_text=self.text_weight * F.l1_loss(text, teacher_text),
            loss_image=self.image_weight * F.l1_loss(image, teacher_image),
            loss_logits=self.logit_weight * divergence,
        )
