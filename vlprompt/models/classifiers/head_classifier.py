"""Classification by a vision transformer that learns at its input: VPT, LPT, AdaptFormer, linear probe, fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from vlprompt.alignment.key_matching import KeyMatch
from vlprompt.clip import ClipSource, VisionTransformer, build_clip, build_timm_vit
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.clip.text.tokenizer import tokenize
from vlprompt.models.base import PromptTunedMixin
from vlprompt.models.classifiers.dual_streams import DualStreams
from vlprompt.models.classifiers.prompted_trunk import grouped_feature, grouped_feature_two_passes, prompted_feature
from vlprompt.models.losses.reduction import process_weight
from vlprompt.prompts.base import readable
from vlprompt.registry import MODELS
from vlprompt.structures import ClassificationSample

ConfigType = dict


@MODELS.register_module()
class HeadClassifier(PromptTunedMixin, BaseModel):
    """A vision transformer with a classifier on its class token, and what is tuned in between.

    Flow of a step::

        images -> visual (+ prompt | prompt and pool | adapter) -> feature (B, width) -> head -> logits (B, C)
        loss:     one loss of all images; or, with ``dual``, loss(first half) + eta_e dual.loss(second half);
                  with a ``pool`` also ``loss_key`` = 1 - S / k of the keys, weighted in the same way
        predict:  softmax -> ``pred_score``, ``pred_label``; with a pool also ``matched_groups`` (k,)
        tensor:   logits (B, C)

    The feature is the class token after the final norm; CLIP's projection into the joint space is not used.

    Args:
        head: config of a head, ``in_channels`` and ``num_classes`` excepted.
        loss: config of a loss ``(logits (B, C), labels (B,)) -> scalar``.
        trainable: patterns of parameter names that are trained, e.g. ``['prompt.*', 'head.*']``.
        num_classes: C; where it is left out, it follows from ``class_names``, from a checkpoint or from the data.
        class_names: C names, or what :func:`vlprompt.clip.classnames.resolve_class_names` resolves; None: those of the
            data.
        clip: arguments of :func:`vlprompt.clip.build_clip`, for the image tower of a CLIP as trunk.
        timm: arguments of :func:`vlprompt.clip.build_timm_vit`, for a trunk of timm.
        prompt: config of a :class:`~vlprompt.prompts.VisualPrompt`.
        pool: config of a :class:`~vlprompt.prompts.PromptPool`, which needs a deep ``prompt`` beside it.
        adapter: config of an :class:`~vlprompt.models.AdaptFormer`.
        dual: ``eta`` and ``loss`` of :class:`DualStreams`; None: batches are one stream.
        data_preprocessor: config of the preprocessor; its mean and std are those of the trunk's weights.
        init_cfg: mmengine's; unused here.

    Raises:
        ValueError: not exactly one trunk, parts that do not go together, or no number of classes.
    """

    base_prefixes = ('visual.', 'text.')
    data_arguments = ('num_classes',)
    nested = dict(clip=build_clip, timm=build_timm_vit)

    def __init__(
        self,
        head: ConfigType,
        loss: ConfigType,
        trainable: Sequence[str],
        num_classes: int | None = None,
        class_names: str | Sequence[str] | None = None,
        clip: ConfigType | None = None,
        timm: ConfigType | None = None,
        prompt: ConfigType | None = None,
        pool: ConfigType | None = None,
        adapter: ConfigType | None = None,
        dual: ConfigType | None = None,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='vlprompt.ClipPreprocessor'), init_cfg)
        if (clip is None) == (timm is None):
            raise ValueError('HeadClassifier: give either clip=dict(...) or timm=dict(...) as the trunk')
        self.base_option = 'model.clip.weights' if timm is None else 'model.timm.weights'
        names = None if class_names is None else tuple(resolve_class_names(class_names))
        self.num_classes = _number_of_classes(num_classes, names)
        self._build_trunk(clip, timm, keep_text=head.get('start') == 'text')
        sizes = dict(width=self.visual.width, layers=len(self.visual.transformer.resblocks))
        self.prompt = prompt and MODELS.build(prompt, default_args=dict(sizes, patch_size=self.visual.patch_size))
        self.pool = pool and MODELS.build(pool, default_args=sizes)
        self.adapter = adapter and MODELS.build(adapter, default_args=dict(sizes, num_classes=self.num_classes))
        self._check_parts()
        sizes = dict(in_channels=self.visual.width, num_classes=self.num_classes)
        self.head = MODELS.build(head, default_args=sizes)
        self.loss_cls = MODELS.build(loss)
        self.dual = None if dual is None else DualStreams(self.loss_cls, **dual)
        self.class_names: tuple[str, ...] | None = None
        if names is not None:
            self.set_class_names(names)
        self.freeze(trainable)

    # --------------------------------------------------------------------------------------------------- building

    def _build_trunk(self, clip: ConfigType | None, timm: ConfigType | None, keep_text: bool) -> None:
        """Set ``visual``, ``text`` (None unless the head starts from it) and where their weights came from."""
        self.visual: VisionTransformer
        self.text = None
        if timm is not None:
            if keep_text:
                raise ValueError("HeadClassifier: head.start='text' needs a text tower: give clip=dict(...)")
            self.visual, self._source = build_timm_vit(**timm)
            return
        model = build_clip(**clip)
        if not isinstance(model.visual, VisionTransformer):
            raise ValueError(f'HeadClassifier: the trunk must be a ViT, {model.arch.name} is a ResNet')
        self.visual, self._source = model.visual, model.source
        if keep_text:
            self.text = model.text
        else:
            self.visual.proj = None  # it leads into the joint space, which nothing reads

    def _check_parts(self) -> None:
        if self.adapter is not None and self.pool is not None:
            raise ValueError('HeadClassifier: adapter and pool do not go together')
        if self.pool is not None and not (self.prompt is not None and self.prompt.deep):
            raise ValueError('HeadClassifier: a pool needs deep shared prompts: prompt=dict(..., deep=True)')

    @property
    def base_source(self) -> ClipSource | None:
        return self._source

    # ---------------------------------------------------------------------------------- what the data tell the model

    def set_class_names(self, names: str | Sequence[str]) -> None:
        """Take over the names of the C classes; a head that starts from text starts from these.

        Raises:
            ValueError: another number of names.
        """
        names = tuple(resolve_class_names(names))
        if len(names) != self.num_classes:
            raise ValueError(f'HeadClassifier has {self.num_classes} classes, got {len(names)} names')
        self.class_names = names
        if self.text is not None:
            self.head.set_directions(self._text_directions(names))

    @torch.no_grad()
    def _text_directions(self, names: Sequence[str]) -> Tensor:
        """(C, width) text features, brought from the joint space to the class token's by the transposed projection."""
        ids = tokenize([self.head.template.format(readable(name)) for name in names])
        device = self.visual.proj.device
        features = torch.cat([self.text.encode_ids(part.to(device)) for part in ids.split(512)])
        return nn.functional.normalize(features, dim=1) @ self.visual.proj.t()

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Tell the losses how many training images each of the C classes has.

        Raises:
            ValueError: another number of classes.
        """
        if len(counts) != self.num_classes:
            raise ValueError(f'the model has {self.num_classes} classes, the training data {len(counts)}')
        self.loss_cls.set_class_counts(counts)
        if self.dual is not None:
            self.dual.loss.set_class_counts(counts)

    # ---------------------------------------------------------------------------------------------------- forward

    def feature(self, inputs: Tensor, reference: bool = False) -> tuple[Tensor, KeyMatch | None]:
        """(B, width) class features, and with a pool the keys that were matched.

        ``reference`` takes the published two passes for a pool.
        """
        prompts = () if self.prompt is None else self.prompt()
        if self.pool is None:
            adapters = None if self.adapter is None else list(self.adapter)
            return prompted_feature(self.visual, inputs, prompts, adapters), None
        grouped = grouped_feature_two_passes if reference else grouped_feature
        return grouped(self.visual, inputs, prompts, self.pool)

    def query(self, inputs: Tensor) -> Tensor:
        """(B, width) class features under the shared prompts alone; without prompts those of the frozen trunk."""
        return prompted_feature(self.visual, inputs, () if self.prompt is None else self.prompt())

    def forward(
        self, inputs: Tensor, data_samples: list[ClassificationSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor] | list[ClassificationSample]:
        """
        Args:
            inputs: (B, 3, H, W) normalised images; with ``dual`` and ``mode='loss'`` two halves.
            data_samples: B samples; with ``gt_label`` for ``mode='loss'``.
            mode: ``'tensor'`` -> logits (B, C); ``'loss'`` -> dict of losses; ``'predict'`` -> data samples.
        """
        if mode == 'tensor':
            return self.head(self.feature(inputs)[0])
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"HeadClassifier: mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def loss(self, inputs: Tensor, data_samples: list[ClassificationSample], reference: bool = False) -> dict[str, Any]:
        """Losses, a mean over the batches of all processes, and scalars for the log."""
        if self.text is not None and self.class_names is None:
            raise ValueError("head.start='text' needs class names: set model.class_names, or train on data with names")
        target = torch.cat([sample.gt_label for sample in data_samples]).to(inputs.device)
        feature, match = self.feature(inputs, reference)
        logits = self.head(feature)
        key = None if match is None else 1 - match.similarity.mean(1)
        share = process_weight(len(target), target.device)
        if self.dual is None:
            losses = dict(loss_cls=self.loss_cls(logits, target) * share)
            if key is not None:
                losses['loss_key'] = key.mean() * share
            return losses | dict(accuracy=_accuracy(logits, target))
        eta = self.dual.weight
        (z_balanced, z_uniform), (y_balanced, y_uniform) = self.dual.split(logits), self.dual.split(target)
        losses = dict(
            loss_balanced=self.loss_cls(z_balanced, y_balanced) * share,
            loss_uniform=eta * self.dual.loss(z_uniform, y_uniform) * share,
        )
        if key is not None:
            key_balanced, key_uniform = self.dual.split(key)
            losses['loss_key'] = (key_balanced.mean() + eta * key_uniform.mean()) * share
        return losses | dict(
            accuracy=_accuracy(z_balanced, y_balanced),
            accuracy_uniform=_accuracy(z_uniform, y_uniform),
            stream_weight=logits.new_tensor(eta),  # mmengine's own eta is the time left
        )

    def predict(
        self, inputs: Tensor, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        """Set ``pred_score (C,)`` and ``pred_label``, and with a pool ``matched_groups (k,)``, on every sample."""
        feature, match = self.feature(inputs)
        scores = (self.head(feature).float() * self.loss_cls.scale).softmax(1)
        samples = data_samples or [ClassificationSample() for _ in scores]
        for index, (sample, score) in enumerate(zip(samples, scores, strict=True)):
            sample.set_pred_score(score)
            if match is not None:
                sample.set_field(match.index[index], 'matched_groups', dtype=Tensor)
        return samples


def _number_of_classes(num_classes: int | None, names: Sequence[str] | None) -> int:
    if num_classes is None and names is None:
        raise ValueError('HeadClassifier: give num_classes or class_names')
    if num_classes is not None and names is not None and num_classes != len(names):
        raise ValueError(f'HeadClassifier: num_classes={num_classes}, but {len(names)} class names')
    return len(names) if num_classes is None else num_classes


def _accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Percent of the batch."""
    return (logits.argmax(1) == target).float().mean() * 100
