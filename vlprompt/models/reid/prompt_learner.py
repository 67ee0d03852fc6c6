"""Phase 1 of CLIP-ReID (Li et al., AAAI 2023, section 3.2): learn to describe identities with frozen towers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor

from vlprompt.clip import build_clip
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.models.base import PromptTunedMixin
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.models.gather import gather_batch
from vlprompt.models.losses.contrastive import supervised_contrastive
from vlprompt.models.losses.reduction import process_weight
from vlprompt.models.preprocessors import ClipPreprocessor, preprocessor_for
from vlprompt.models.reid.levels import feature_levels
from vlprompt.registry import MODELS
from vlprompt.structures import ReIDSample

ConfigType = dict


@MODELS.register_module()
class IdentityPromptLearner(PromptTunedMixin, BaseModel):
    """Learn prompts whose text features agree with the image features of their identity.

    Flow of a step::

        once:     images -> clip.visual -> joint features (N, D), kept by the training loop
        loss:     features (B, D) --------------------------------+-> contrast image to text, text to image (``gather``:
                                                                  |   with the batches of all processes)
                  identities of the batch -> prompt -> clip.text -+
        tensor:   images -> joint features (B, D)
        predict:  the same as ``feature`` of the samples: the untrained image tower

    Only ``prompt.context`` is trained; the text tower computes no gradients of its weights.

    A checkpoint also holds ``prototypes`` (K, D), the text features of all K identities, from which the second phase
    starts.

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`; image size and stride are those of the second phase.
        num_ids: K, training identities; if left out, those of the training data.
        noun: what the pictures show; if left out, that of the training data.
        prompt: config of the prompt.
        official: contrast in half precision, as published; otherwise in float32.
        gather: contrast the batches of all processes together, so that R processes with batch size b train as one with
            R b does; otherwise each contrasts its own batch, which makes the task easier.  Nothing changes in a single
            process.
        data_preprocessor: config of the preprocessor of images; None: a :class:`CachedFeaturePreprocessor` with the
            mean and deviation of the weights.
        init_cfg: mmengine's; unused here, since weights come through ``clip``.

    Raises:
        ValueError: ``num_ids`` or ``noun`` is not known.
    """

    data_arguments = ('num_ids', 'noun')
    nested = dict(clip=build_clip)
    forward_methods = ('text_prototypes',)

    def __init__(
        self,
        clip: ConfigType,
        num_ids: int | None = None,
        noun: str | None = None,
        prompt: ConfigType | None = None,
        official: bool = False,
        gather: bool = False,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        missing = [f'model.{key}' for key, value in dict(num_ids=num_ids, noun=noun).items() if value is None]
        if missing:
            raise ValueError(
                f'IdentityPromptLearner: {" and ".join(missing)} must be known: train on data for re-identification or '
                'load a checkpoint, which give them, or set them, e.g. --cfg-options model.num_ids=751 '
                'model.noun=person'
            )
        towers = build_clip(**clip)
        usual = preprocessor_for(towers.preprocessing, 'vlprompt.CachedFeaturePreprocessor')
        super().__init__(data_preprocessor or usual, init_cfg)
        self.clip = towers
        refuse_unread_local(self.clip.visual, 'an IdentityPromptLearner reads global features alone')
        self.num_ids, self.noun = num_ids, noun
        self.official, self.gather = official, gather
        prompt = prompt or dict(type='vlprompt.IdentityPrompt')
        self.prompt = MODELS.build(prompt, default_args=dict(num_ids=num_ids, noun=noun, text=self.clip.text))
        self.register_buffer('prototypes', torch.zeros(num_ids, self.clip.embed_dim))
        self._text_cache = FeatureCache()
        self.freeze(['prompt.context'])

    def train(self, mode: bool = True) -> IdentityPromptLearner:
        self._text_cache.clear()
        return super().train(mode)

    def image_features(self, images: Tensor) -> Tensor:
        """(B, D) joint features of normalised images (B, 3, H, W), not normalised."""
        return feature_levels(self.clip.visual, images).joint

    def text_features(self, ids: Tensor) -> Tensor:
        """(B, D) text features of identities (B,), not normalised.

        An identity that occurs twice is encoded twice, which is rare: to find out would wait for the device.
        """
        return self.prompt.encode(self.clip.text, ids=ids)[0]

    @torch.no_grad()
    def text_prototypes(self) -> Tensor:
        """(K, D) text features of all identities, not normalised."""
        return self._text_cache(lambda: self.prompt.encode(self.clip.text)[0], (self.prompt, self.clip.text))

    def trained_state_dict(self) -> dict[str, Tensor]:
        """Prompts and their prototypes."""
        self.prototypes.copy_(self.text_prototypes())
        return super().trained_state_dict()

    def forward(
        self, inputs: Tensor, data_samples: Sequence[ReIDSample] | Tensor | None = None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor] | Sequence[ReIDSample]:
        """
        Args:
            inputs: (B, 3, H, W) normalised images; for ``mode='loss'`` (B, D) joint features.
            data_samples: for ``mode='loss'`` (B,) training labels, -1 of samples to leave out; else B samples.
            mode: ``'tensor'`` -> (B, D); ``'loss'`` -> dict of losses; ``'predict'`` -> data samples.
        """
        if mode == 'tensor':
            return self.image_features(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            samples = data_samples or [ReIDSample() for _ in inputs]
            for sample, feature in zip(samples, self.image_features(inputs).float(), strict=True):
                sample.set_feature(feature)
            return samples
        raise ValueError(f"IdentityPromptLearner: mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def loss(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Contrast of image features with the texts of their identities, both ways; the mean over all processes.

        Args:
            features: (B, D).
            labels: (B,); samples labelled -1 only fill up the batch and are left out.
        """
        text = self.text_features(labels.clamp(min=0))
        if self.gather:
            features, text, labels = (gather_batch(values) for values in (features, text, labels))
        share = 1.0 if self.gather else process_weight((labels >= 0).sum(), labels.device)
        return dict(
            loss_i2t=share * supervised_contrastive(features, text, labels, labels, half=self.official),
            loss_t2i=share * supervised_contrastive(text, features, labels, labels, half=self.official),
        )


@MODELS.register_module()
class CachedFeaturePreprocessor(ClipPreprocessor):
    """Normalise images as :class:`ClipPreprocessor` does; features (B, D) go to the model's device as they are."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """``dict(inputs, data_samples)``, see the class."""
        if isinstance(data['inputs'], Tensor) and data['inputs'].dim() == 2:
            return self.cast_data(data)
        return super().forward(data, training)
