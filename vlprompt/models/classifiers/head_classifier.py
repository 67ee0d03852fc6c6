"""Classification by a head on a vision transformer: VPT, LPT, AdaptFormer, linear probe, fine-tuning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from vlprompt.clip import ClipSource, build_clip, build_timm_vit
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.errors import ConfigError
from vlprompt.models.classifiers.base import Classifier, ConfigType, labels_of, scored_samples
from vlprompt.models.classifiers.trunk import build_trunk, text_directions
from vlprompt.models.losses.long_tailed import ClassificationLoss
from vlprompt.models.losses.reduction import process_weight
from vlprompt.models.preprocessors import preprocessor_for
from vlprompt.models.tuners.base import Terms, Tuner
from vlprompt.prompts.base import readable
from vlprompt.registry import MODELS
from vlprompt.structures import ClassificationSample


@MODELS.register_module()
class HeadClassifier(Classifier):
    """A vision transformer with a head on its class token, and one tuner in between.

    Flow of a step::

        images -> tuner.feature(visual, images) -> feature (B, width), terms -> head -> logits (B, C)
        loss:     loss_cls.terms(logits, labels, terms.losses)
        predict:  softmax -> ``pred_score``, ``pred_label``; and ``terms.fields``
        tensor:   logits (B, C)

    The feature is the class token after the final norm; CLIP's projection into the joint space is not used.

    Args:
        head: config of a head, ``in_channels`` and ``num_classes`` excepted.
        loss: config of a :class:`~vlprompt.models.losses.long_tailed.ClassificationLoss`; a
            :class:`~vlprompt.models.DualStreamLoss` takes batches of two streams.
        trainable: patterns of parameter names that are trained, e.g. ``['tuner.*', 'head.*']``.
        num_classes: C; if left out, it follows from ``class_names``, from a checkpoint or from the data.
        class_names: C names, or what :func:`vlprompt.clip.classnames.resolve_class_names` resolves; None: those of the
            data.
        clip: arguments of :func:`vlprompt.clip.build_clip`, for a CLIP's image tower as trunk.
        timm: arguments of :func:`vlprompt.clip.build_timm_vit`, for a trunk of timm.
        tuner: config of a :class:`~vlprompt.models.tuners.Tuner`; None: the plain trunk, for a linear probe, or for
            full fine-tuning with ``trainable=['visual.*', 'head.*']``.
        data_preprocessor: config of the preprocessor; None: with the mean and deviation of the trunk's weights.
        init_cfg: mmengine's; unused here.

    Raises:
        ValueError: not exactly one trunk, a tuner that does not fit it, or no number of classes.
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
        tuner: ConfigType | None = None,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        visual, text, source, way = build_trunk(clip, timm, keep_text=head.get('start') == 'text')
        super().__init__(data_preprocessor or preprocessor_for(way), init_cfg)
        self.base_option = 'model.clip.weights' if timm is None else 'model.timm.weights'
        self.visual, self.text, self._source = visual, text, source
        names = None if class_names is None else tuple(resolve_class_names(class_names))
        self.num_classes = _number_of_classes(num_classes, names)
        self.tuner: Tuner = MODELS.build(
            tuner or dict(type='vlprompt.Tuner'), default_args=dict(visual=self.visual, num_classes=self.num_classes)
        )
        sizes = dict(in_channels=self.visual.width, num_classes=self.num_classes)
        self.head: nn.Module = MODELS.build(head, default_args=sizes)
        self.loss_cls: ClassificationLoss = MODELS.build(loss)
        self.class_names: tuple[str, ...] | None = None
        self.names_follow_data = isinstance(class_names, str)
        if names is not None:
            self.set_class_names(names)
        self.freeze(trainable)

    @property
    def base_source(self) -> ClipSource | None:
        return self._source

    # ------------------------------------------------------------------------------------------ facts about the data

    def meet_data(self, metainfo: Mapping[str, Any], what: str, training: bool) -> None:
        """Agree on the class names, and take the class counts ``cls_num_list`` of the training data.

        Raises:
            ConfigError: other classes, or a loss that needs counts and data without them.
        """
        super().meet_data(metainfo, what, training)
        counts = metainfo.get('cls_num_list')
        if training and counts is not None:
            self.set_class_counts(counts)
            print_log(f'{len(counts)} classes of {max(counts)} to {min(counts)} training images', logger='current')
        elif training and self.loss_cls.needs_class_counts:
            raise ConfigError(
                f'{type(self.loss_cls).__name__} needs class counts, which {what} lacks '
                '(metainfo["cls_num_list"]): train on a vlprompt.LongTailedDataset, or choose another model.loss'
            )

    def set_class_names(self, names: str | Sequence[str]) -> None:
        """Set the names of the C classes; a head that starts from text starts from these.

        Raises:
            ValueError: another number of names.
        """
        names = tuple(resolve_class_names(names))
        if len(names) != self.num_classes:
            raise ValueError(f'HeadClassifier has {self.num_classes} classes, got {len(names)} names')
        self.class_names = names
        if self.text is not None:
            sentences = [self.head.template.format(readable(name)) for name in names]
            self.head.set_directions(text_directions(self.visual, self.text, sentences))

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Tell the loss how many training images each of the C classes has.

        Raises:
            ValueError: another number of classes, or a class without images.
        """
        if len(counts) != self.num_classes:
            raise ValueError(f'the model has {self.num_classes} classes, the training data {len(counts)}')
        self.loss_cls.set_class_counts(counts)
        self.loss_cls.to(next(self.visual.parameters()).device)

    def needs_features(self, loaded: Collection[str] = ()) -> bool:
        """Whether tuner or head start from frozen features, except tensors that were ``loaded``, by name."""
        return bool(self._starting(loaded))

    def start_from_features(
        self, features: Tensor, labels: Tensor, generator: torch.Generator, loaded: Collection[str] = ()
    ) -> list[Tensor]:
        """Initialise tensors from :meth:`frozen_features` of N training images, unless ``loaded``, and return them.

        Args:
            features: (N, width), not normalised.
            labels: (N,).
            generator: source of random numbers.
            loaded: names of tensors to leave alone.
        """
        parts = self._starting(loaded)
        return [tensor for part in parts for tensor in part.start_from_features(features, labels, generator)]

    def _starting(self, loaded: Collection[str]) -> list[nn.Module]:
        parts = dict(tuner=self.tuner, head=self.head)
        return [p for name, p in parts.items() if p.from_features and f'{name}.{p.from_features}' not in loaded]

    # ---------------------------------------------------------------------------------------------------- forward

    def feature(self, inputs: Tensor) -> tuple[Tensor, Terms]:
        """(B, width) class features, not normalised, and the tuner's other outputs."""
        self.warn_of_other_size(inputs, self.visual)
        return self.tuner.feature(self.visual, inputs)

    def frozen_features(self, inputs: Tensor) -> Tensor:
        """(B, width) class features as the tuner can compute them before training, not normalised."""
        return self.tuner.query(self.visual, inputs)

    def logits(self, inputs: Tensor) -> Tensor:
        """(B, C) logits of normalised images (B, 3, H, W)."""
        return self.head(self.feature(inputs)[0])

    def scaled(self, logits: Tensor) -> Tensor:
        """(B, C) logits (B, C) times the scale of the loss."""
        return logits.float() * self.loss_cls.scale

    def loss(self, inputs: Tensor, data_samples: list[ClassificationSample]) -> dict[str, Any]:
        """Losses and scalars for the log, of which all processes together have the mean over all images."""
        if self.text is not None and self.class_names is None:
            raise ValueError("head.start='text' needs class names: set model.class_names, or train on data with names")
        return self.losses(inputs, labels_of(data_samples, inputs.device))

    def losses(self, inputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The same, of labels (B,)."""
        feature, terms = self.feature(inputs)
        losses = self.loss_cls.terms(self.head(feature), target, terms.losses)
        share = process_weight(len(target), target.device)
        return {name: value * share for name, value in losses.items()}

    def predict(
        self, inputs: Tensor, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        """Set ``pred_score (C,)``, softmax of scaled logits, ``pred_label`` and the tuner's fields on the samples."""
        feature, terms = self.feature(inputs)
        samples = scored_samples(self.scores(self.head(feature)), data_samples)
        for index, sample in enumerate(samples):
            for name, values in terms.fields.items():
                sample.set_field(values[index], name, dtype=Tensor)
        return samples


def _number_of_classes(num_classes: int | None, names: Sequence[str] | None) -> int:
    if num_classes is None and names is None:
        raise ValueError('HeadClassifier: give num_classes or class_names')
    if num_classes is not None and names is not None and num_classes != len(names):
        raise ValueError(f'HeadClassifier: num_classes={num_classes}, but {len(names)} class names')
    return len(names) if num_classes is None else num_classes
