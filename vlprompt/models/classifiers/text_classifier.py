"""Classification with text features as class weights: zero-shot CLIP, CoOp, CoCoOp, MaPLe, PLOT and combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from vlprompt.alignment import Alignment
from vlprompt.clip import ClipFeatures, build_clip
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.models.classifiers.base import Classifier, ConfigType, labels_of, named_classes, scored_samples
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.models.losses.reduction import process_weight
from vlprompt.models.preprocessors import preprocessor_for
from vlprompt.prompts import ClassWeights
from vlprompt.registry import MODELS
from vlprompt.structures import ClassificationSample


@MODELS.register_module()
class TextClassifier(Classifier):
    """A CLIP classifier whose class weights are text features of prompts.

    Flow of a step, in the order in which it is computed::

        image_features   images (B, 3, H, W) -> clip.visual, with tokens of ``visual`` -> ClipFeatures
        text_features    class names -> prompt, which may depend on them -> clip.text  -> ([B,] P, K, D)
        align            both -> alignment -> logits (B, K)

        loss:     cross-entropy of the logits, auxiliary losses on the text features
        predict:  softmax -> ``pred_score``, ``pred_label``
        tensor:   the logits

    Text features that are the same for all images are computed once, in training too if neither prompt nor text tower
    is trained, and kept until a parameter of these changes, the class set changes, or ``train()`` / ``eval()`` is
    called.

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`: ``arch``, ``weights``, ...
        prompt: config of a :class:`vlprompt.prompts.TextPrompt`.
        alignment: config of an alignment.
        class_names: K names, or what :func:`vlprompt.clip.classnames.resolve_class_names` resolves, such as
            ``'caltech101'`` or ``'caltech101:base'``; if left out, those of the data.
        trainable: patterns of parameter names that are trained, e.g. ``['prompt.context']``; all others are
            frozen.  Empty for zero-shot.
        trained_before: patterns of parameters of the towers that an earlier phase trained, and that checkpoints
            therefore hold although they are frozen now.
        logit_scale: factor of the cosines; None: that of the CLIP weights, exp(clip.logit_scale).
        visual: config of a :class:`~vlprompt.prompts.ImagePrompt`, such as a ``VisualPrompt`` or a ``CoupledPrompt``;
            its ``width``, ``layers`` and ``patch_size`` are those of the image tower.
        auxiliary_losses: configs of losses on the text features ``([B,] P, K, D)``, each adding ``loss_<name>``.
        data_preprocessor: config of the preprocessor that turns uint8 images into normalised batches; None: with the
            mean and deviation of the weights.
        init_cfg: mmengine's; unused here, since weights come through ``clip``.

    Raises:
        ValueError: no class names, or one too long for the context; visual prompts for a ResNet; a form of local
            features (``clip.vision.local``) that the alignment does not read.
    """

    open_vocabulary = True
    nested = dict(clip=build_clip)
    data_arguments = ('class_names',)

    def __init__(
        self,
        clip: ConfigType,
        prompt: ConfigType,
        alignment: ConfigType,
        class_names: str | Sequence[str] | None = None,
        trainable: Sequence[str] = (),
        trained_before: Sequence[str] = (),
        logit_scale: float | None = None,
        visual: ConfigType | None = None,
        auxiliary_losses: Sequence[ConfigType] = (),
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        towers = build_clip(**clip)
        super().__init__(data_preprocessor or preprocessor_for(towers.preprocessing), init_cfg)
        self.clip = towers
        names = named_classes(class_names, 'TextClassifier')
        self.names_follow_data = isinstance(class_names, str)
        self.prompt = MODELS.build(prompt, default_args=dict(class_names=names, text=self.clip.text))
        self.visual = None if visual is None else self._build_visual(visual)
        self.alignment = MODELS.build(alignment)
        self._check_local()
        self.auxiliary_losses = nn.ModuleList(MODELS.build(cfg) for cfg in auxiliary_losses)
        self._text_cache = FeatureCache()
        self._logit_scale = logit_scale
        self.freeze(trainable, trained_before=trained_before)

    def _build_visual(self, visual: ConfigType) -> nn.Module:
        """The visual prompt, with the sizes of the image tower and, if it ``needs_text``, the text prompt."""
        try:
            sizes: dict[str, Any] = self.clip.visual.prompt_sizes()
        except ValueError as error:
            raise ValueError(f'TextClassifier: visual={visual["type"]}: {error}; or leave visual out') from None
        if getattr(MODELS.get(visual['type']), 'needs_text', False):
            sizes['prompt'] = self.prompt
        return MODELS.build(visual, default_args=sizes)

    def _check_local(self) -> None:
        """Raise if a form of local features, or their marginals, have no effect or no meaning."""
        kind = type(self.alignment).__name__
        sets = getattr(self.visual, 'sets', None)
        if not self.alignment.needs_local:
            refuse_unread_local(self.clip.visual, f'{kind} compares global features alone')
        elif sets is not None:
            reason = f'with visual.sets={sets} the local features are the class features of the sets'
            refuse_unread_local(self.clip.visual, reason)
            if getattr(self.alignment, 'needs_saliency', False):
                raise ValueError(f"TextClassifier: {reason}, which have no marginals='class_token'")

    @property
    def local_form(self) -> str | dict[str, Any] | None:
        """Form of the local features that the alignment reads; None if it reads none, or those of sets."""
        reads = self.alignment.needs_local and getattr(self.visual, 'sets', None) is None
        return self.clip.visual.local if reads else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K class names, in the order of the logits."""
        return self.prompt.class_names

    def set_class_names(self, class_names: str | Sequence[str]) -> None:
        """Classify among other classes from now on, with the learned prompts."""
        self.prompt.set_class_names(named_classes(class_names, 'TextClassifier'))
        self._text_cache.clear()

    def meet_checkpoint(self, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Before its tensors are loaded: learned class weights get as many rows as they have in the checkpoint."""
        if isinstance(self.prompt, ClassWeights):
            own = {name.removeprefix('prompt.'): t for name, t in state.items() if name.startswith('prompt.')}
            self.prompt.meet_checkpoint(own)

    def train(self, mode: bool = True) -> TextClassifier:
        self._text_cache.clear()
        return super().train(mode)

    def image_features(self, inputs: Tensor, local: bool = False) -> ClipFeatures:
        """Features of normalised images (B, 3, H, W) under the visual prompt.

        Args:
            inputs: the images.
            local: also local features that the alignment does not read.
        """
        self.warn_of_other_size(inputs, self.clip.visual)
        tokens = None
        if self.visual is not None:
            tokens = self.visual(self.prompt) if self.visual.needs_text else self.visual()
        needs = self.alignment
        saliency = getattr(needs, 'needs_saliency', False)
        local = local or needs.needs_local
        return self.clip.encode_image(inputs, local, maps=False, prompts=tokens, saliency=saliency)

    def text_features(self, features: ClipFeatures | None = None) -> Tensor:
        """Text features, not normalised.

        Args:
            features: of B images, for a prompt that ``needs_image``.

        Returns:
            (P, K, D), cached under ``no_grad`` or if no gradient reaches it; (B, P, K, D), never cached, if the prompt
            ``needs_image``.
        """
        if self.prompt.needs_image:
            return self.prompt.encode(self.clip.text, features)
        return self._text_cache(lambda: self.prompt.encode(self.clip.text), (self.prompt, self.clip.text))

    @property
    def logit_scale(self) -> Tensor:
        """Scalar that multiplies the cosines."""
        own = self.clip.logit_scale
        return own.exp() if self._logit_scale is None else own.new_full((), self._logit_scale)

    def align(self, inputs: Tensor) -> Alignment:
        """Logits, similarity maps, transport plan and features of normalised images (B, 3, H, W)."""
        return self.align_features(self.image_features(inputs))

    def align_features(self, features: ClipFeatures) -> Alignment:
        """The same, of features of images."""
        text = self.text_features(features)
        aligned = self.alignment(features, text, self.logit_scale)
        return replace(aligned, text=text, image=features)

    def logits(self, inputs: Tensor) -> Tensor:
        """(B, K) logits of normalised images (B, 3, H, W)."""
        return self.align(inputs).logits

    def loss(self, inputs: Tensor, data_samples: list[ClassificationSample]) -> dict[str, Tensor]:
        """Cross-entropy, auxiliary losses and scalars for the log, of which all processes together have the mean over
        all images.
        """
        return self.losses(inputs, labels_of(data_samples, inputs.device))

    def losses(self, inputs: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The same, of labels (B,)."""
        aligned = self.align(inputs)
        losses = dict(loss_cls=nn.functional.cross_entropy(aligned.logits.float(), target))
        losses |= self.auxiliary_terms(aligned, inputs)
        losses['accuracy'] = (aligned.logits.argmax(1) == target).float().mean() * 100
        share = process_weight(len(target), target.device)
        return {name: value * share for name, value in (losses | aligned.log).items()}

    def auxiliary_terms(self, aligned: Alignment, inputs: Tensor) -> dict[str, Tensor]:
        """``loss_<name>`` of the auxiliary losses; a subclass adds terms that need more than the text.

        Args:
            aligned: of :meth:`align`.
            inputs: the normalised images (B, 3, H, W).
        """
        return {f'loss_{auxiliary.name}': auxiliary(aligned.text) for auxiliary in self.auxiliary_losses}

    def predict(
        self, inputs: Tensor, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        """Set ``pred_score (K,)``, softmax of the logits, and ``pred_label`` on every sample."""
        return scored_samples(self.scores(self.logits(inputs)), data_samples)

    @property
    def stored_parts(self) -> tuple[str, ...]:
        tuned = any(p.requires_grad for p in self.clip.visual.parameters())
        if tuned or self.visual is not None or any(name.startswith('clip.visual.') for name in self._trained_before):
            return ()
        local = ('local',) if self.alignment.needs_local else ()
        return ('cls', *local, *(('saliency',) if getattr(self.alignment, 'needs_saliency', False) else ()))

    def predict_features(
        self, features: ClipFeatures, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        return scored_samples(self.scores(self.align_features(features).logits), data_samples)
