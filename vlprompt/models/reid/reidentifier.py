"""Re-identification with CLIP's image tower: the baseline and phase 2 of CLIP-ReID (Li et al., AAAI 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn import functional as F

from vlprompt.clip import ClipSource, build_clip, build_timm_vit
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.clip.low_rank import refuse_text_lora
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.clip.timm_vit import way_of_timm
from vlprompt.errors import ConfigError
from vlprompt.models.base import PromptTunedMixin
from vlprompt.models.gather import gather_batch
from vlprompt.models.losses.centroids import CentroidMemory
from vlprompt.models.losses.triplet import batch_hard_triplet
from vlprompt.models.preprocessors import preprocessor_for
from vlprompt.models.reid.heads import IdentityHead
from vlprompt.models.reid.levels import FeatureLevels, ImageTower, feature_levels, level_channels
from vlprompt.models.reid.side_information import build_side_information
from vlprompt.registry import MODELS
from vlprompt.structures import ReIDSample

ConfigType = dict

WEIGHTS = dict(id=1.0, id_proj=1.0, triplet_last=1.0, triplet=1.0, triplet_proj=1.0, i2t=1.0, id_both=0.0, centroid=1.0)
"""The terms of the loss."""

OF_JOINT = ('id_proj', 'id_both', 'triplet_proj', 'i2t')
"""The terms that read features of the joint space of image and text."""


@MODELS.register_module()
class ReIdentifier(PromptTunedMixin, BaseModel):
    """An image tower trained so that pictures of one person (or vehicle) have close descriptors.

    Flow::

        images, cameras -> visual -> last, final, joint                             (three levels of global features)
                                                                                    (``gather``: those of all processes)
        loss:     final -> head, joint -> head_proj    -> identity loss, twice      (batch norm, classifier)
                  the sum of both scores               -> identity loss             (PCL-CLIP only)
                  last, final, joint                   -> triplet loss, three times
                  joint x prototypes                   -> image-to-text loss        (CLIP-ReID only)
                  final, joint after batch norm        -> loss of centroids         (PCL-CLIP only)
        tensor:   descriptor (B, C + D): final and joint, before or after their batch norm
        predict:  the descriptor as ``feature`` of the data samples

    **CLIP-ReID** compares the image features with the text features of all identities, ``prototypes`` (K, D), which the
    first phase learned (:class:`~vlprompt.models.reid.prompt_learner.IdentityPromptLearner`) and which stay fixed;
    ``start_from=dict(keys=['prototypes'])`` loads them.  Products are computed without normalisation or temperature, as
    published.  The **baseline** is the same model with ``weights.i2t=0``.

    **PCL-CLIP** has one phase and neither text nor triplets: features after both batch norms, (B, C + D), are
    contrasted with a memory of one centroid for each identity
    (:class:`~vlprompt.models.losses.centroids.CentroidMemory`), beside one classifier on both: its scores are the sum
    of those of the two heads.

    A **ViT of timm**, such as one that was pre-trained on photographs of persons, takes the place of CLIP's with
    ``timm``.  It has no joint space: the levels are last and final, the descriptor is final (B, C), and the weights of
    ``id_proj``, ``id_both``, ``triplet_proj`` and ``i2t`` are 0.

    Without ``num_ids`` there are no classifiers: such a model computes descriptors but cannot be trained.

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`; ``vision.patch_stride=12`` makes patches overlap (OLP).
            Only the image tower is kept.
        timm: arguments of :func:`vlprompt.clip.build_timm_vit`, instead of ``clip``.
        num_ids: K, training identities.  If left out, those of the checkpoint to be tested, or else of the training
            data (:mod:`vlprompt.engine.data_arguments`).
        num_cameras: cameras of the training data; the same default.
        num_views: viewpoints of the training data; the same default.
        sie: side information on a ViT: ``camera`` and ``view`` select what is embedded, the other options are those
            of :class:`~vlprompt.models.reid.side_information.SideInformation`.  None: none is used.
        weights: factors of the losses: ``id``, ``id_proj``, ``triplet_last``, ``triplet``, ``triplet_proj``, ``i2t``
            and ``centroid``, 1 by default, and ``id_both``, 0 by default.  A term of weight 0 is not computed.
        centroids: ``temperature`` and ``momentum`` of the
            :class:`~vlprompt.models.losses.centroids.CentroidMemory`, ``dict()`` for PCL-CLIP's; None: no such loss.
        label_smoothing: of the identity and image-to-text losses.
        margin: of the triplet loss; None: the soft margin, ``log(1 + exp(d_ap - d_an))``.
        descriptor: ``'before'`` or ``'after'`` the batch norms.  The parts are not normalised separately, so the longer
            one weighs more in a cosine.
        official: round to half precision in the losses as the published code does; otherwise they are in float32.
        gather: compute batch norms, triplets and all other losses on the features of all processes together, so that R
            processes with batch size b train a ViT as one process with R b does; otherwise each has hard examples and
            batch statistics of its own batch.  Batch norms inside a ResNet are not part of this (``sync_bn``).
            Nothing changes in a single process.
        frozen: patterns of parameters that are not trained, besides the biases of the batch norms.
        data_preprocessor: config of the preprocessor; None: with the mean and deviation of the tower's weights.
        init_cfg: mmengine's; unused here, since weights come through ``clip``.

    Raises:
        ValueError: not exactly one of ``clip`` and ``timm``, unknown weights, a weight of centroids without these or of
            a joint space that is not there, or side information for a ResNet or without the numbers it needs.
    """

    base_prefixes = ('visual.',)
    unset_tensors = ('prototypes', 'centroids.centroids')
    data_arguments = ('num_ids', 'num_cameras', 'num_views')
    nested = dict(clip=build_clip, timm=build_timm_vit, centroids=CentroidMemory)
    class_tensors = ('head.classifier.weight', 'head_proj.classifier.weight', 'prototypes', 'centroids.centroids')

    def __init__(
        self,
        clip: ConfigType | None = None,
        num_ids: int | None = None,
        num_cameras: int | None = None,
        num_views: int | None = None,
        sie: ConfigType | None = None,
        weights: Mapping[str, float] | None = None,
        centroids: ConfigType | None = None,
        label_smoothing: float = 0.1,
        margin: float | None = 0.3,
        descriptor: str = 'before',
        official: bool = False,
        gather: bool = False,
        frozen: Sequence[str] = (),
        timm: ConfigType | None = None,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        if unknown := set(weights or {}) - set(WEIGHTS):
            raise ValueError(f'ReIdentifier: unknown weights {sorted(unknown)}; there are {", ".join(WEIGHTS)}')
        if (weights or {}).get('centroid') and centroids is None:
            raise ValueError('ReIdentifier: weights.centroid needs centroids, e.g. centroids=dict(temperature=0.05)')
        if descriptor not in ('before', 'after'):
            raise ValueError(f"ReIdentifier: descriptor must be 'before' or 'after', got {descriptor!r}")
        visual, source, way = _image_tower(clip, timm)
        super().__init__(data_preprocessor or preprocessor_for(way), init_cfg)
        self.base_option = 'model.clip.weights' if timm is None else 'model.timm.weights'
        self.visual, self._source = visual, source
        self.num_ids, self.num_cameras, self.num_views = num_ids, num_cameras, num_views
        self.weights = WEIGHTS | dict(weights or {})
        self.label_smoothing, self.margin = label_smoothing, margin
        self.descriptor, self.official, self.gather = descriptor, official, gather
        _, final, joint = level_channels(self.visual)
        if joint is None and (asked := [name for name in OF_JOINT if self.weights[name]]):
            raise ValueError(
                f'ReIdentifier: weights {", ".join(asked)} need features in a joint space of image and text, which a '
                f'ViT of timm does not have: set {", ".join(f"model.weights.{name}=0" for name in asked)}'
            )
        self.head = IdentityHead(final, num_ids)
        self.head_proj = None if joint is None else IdentityHead(joint, num_ids)
        counts = dict(num_cameras=num_cameras, num_views=num_views)
        self.sie = None if sie is None else build_side_information(self.visual, counts, sie)
        prototypes = num_ids is not None and self.weights['i2t'] != 0
        self.register_buffer('prototypes', torch.full((num_ids, joint), torch.nan) if prototypes else None)
        self._has_prototypes = False
        self.centroids = None
        if centroids is not None and num_ids is not None and self.weights['centroid']:
            self.centroids = CentroidMemory(num_ids, final + (joint or 0), **centroids)
        heads = ['head'] if joint is None else ['head', 'head_proj']
        self.freeze(frozen=[f'{head}.norm.bias' for head in heads] + list(frozen))

    @property
    def base_source(self) -> ClipSource | None:
        return self._source

    @property
    def geometry(self) -> dict[str, Any]:
        """Grid (h, w) and stride of the patches (or cells) that the position embedding is for."""
        return {name: self.visual.options[name] for name in ('grid', 'stride')}

    @property
    def descriptor_length(self) -> int:
        """C + D, or C without a joint space."""
        heads = (self.head, self.head_proj)
        return sum(head.norm.num_features for head in heads if head is not None)

    def forward(
        self, inputs: Tensor, data_samples: Sequence[ReIDSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor] | Sequence[ReIDSample]:
        """
        Args:
            inputs: (B, 3, H, W) normalised images.
            data_samples: B samples; with ``gt_label`` for ``mode='loss'``, with ``camid`` and ``viewid`` if side
                information needs them.
            mode: ``'tensor'`` -> descriptors (B, C + D), or (B, C) without a joint space, not normalised; ``'loss'`` ->
                dict of losses; ``'predict'`` -> data samples.
        """
        if mode == 'tensor':
            return self.describe(self.levels(inputs, data_samples))
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            descriptors = self.describe(self.levels(inputs, data_samples)).float()
            samples = data_samples or [ReIDSample() for _ in inputs]
            for sample, descriptor in zip(samples, descriptors, strict=True):
                sample.set_feature(descriptor)
            return samples
        raise ValueError(f"ReIdentifier: mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def levels(self, images: Tensor, data_samples: Sequence[ReIDSample] | None = None) -> FeatureLevels:
        """Three levels of features of normalised images (B, 3, H, W)."""
        self.warn_of_other_size(images, self.visual)
        return feature_levels(self.visual, images, self._class_offset(data_samples))

    def _class_offset(self, data_samples: Sequence[ReIDSample] | None) -> Tensor | None:
        """(B, width) or (width,) side information, or None."""
        return None if self.sie is None else self.sie(self._rows_of(data_samples))

    def _rows_of(self, data_samples: Sequence[ReIDSample] | None) -> Tensor | None:
        """(B,) rows of the side information of images; None if it does not depend on them."""
        if self.sie is None or not self.sie.needs_ids:
            return None
        if data_samples is None:
            raise ValueError(
                'the model uses the camera of an image: give data_samples with camid (and viewid), or set '
                "model.sie.at_test='mean'"
            )
        return self.sie.rows(*([int(getattr(sample, key)) for sample in data_samples] for key in ('camid', 'viewid')))

    def describe(self, levels: FeatureLevels) -> Tensor:
        """(B, C + D) descriptors, or (B, C) without a joint space; not normalised."""
        return torch.cat(self._normed(levels) if self.descriptor == 'after' else _present(levels[1:]), 1)

    def normed_features(self, inputs: Tensor, data_samples: Sequence[ReIDSample] | None = None) -> Tensor:
        """(B, C + D) features after both batch norms, of which centroids are made; not scaled to unit length."""
        return torch.cat(self._normed(self.levels(inputs, data_samples)), 1)

    def _normed(self, levels: FeatureLevels) -> tuple[Tensor, ...]:
        """The last two levels after their batch norms, (B, C) and, in a joint space, (B, D)."""
        final = self.head.norm(levels.final)
        return (final,) if self.head_proj is None else (final, self.head_proj.norm(levels.joint))

    def loss(self, inputs: Tensor, data_samples: Sequence[ReIDSample]) -> dict[str, Tensor]:
        """The weighted terms, and the accuracy of the first classifier, or with ``id_both`` of both, in percent.

        Raises:
            ValueError: no number of identities, or triplets of a single one.
        """
        if self.num_ids is None:
            raise ValueError('ReIdentifier: training needs model.num_ids')
        self._check_identities(data_samples)
        self.warn_of_other_size(inputs, self.visual)
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(inputs.device)
        return self.losses(inputs, labels, self._rows_of(data_samples))

    def losses(self, inputs: Tensor, labels: Tensor, rows: Tensor | None = None) -> dict[str, Tensor]:
        """The same, of labels (B,) and rows (B,) of side information, if there is any."""
        levels = feature_levels(self.visual, inputs, None if rows is None else self.sie(rows))
        if self.gather:
            labels = gather_batch(labels)
            levels = FeatureLevels(*(None if level is None else gather_batch(level) for level in levels))
        normed = self._normed(levels)
        scores = self.head.classifier(normed[0])
        scores_proj = None if self.head_proj is None else self.head_proj.classifier(normed[1])
        terms = dict(
            id=lambda: self._cross_entropy(scores, labels),
            id_proj=lambda: self._cross_entropy(scores_proj, labels),
            id_both=lambda: self._cross_entropy(scores + scores_proj, labels),
            triplet_last=lambda: batch_hard_triplet(levels.last, labels, self.margin, self.official),
            triplet=lambda: batch_hard_triplet(levels.final, labels, self.margin, self.official),
            triplet_proj=lambda: batch_hard_triplet(levels.joint, labels, self.margin, self.official),
            i2t=lambda: self._cross_entropy(self.text_scores(levels.joint), labels),
        )
        if self.centroids is not None:
            terms['centroid'] = lambda: self.centroids(torch.cat(normed, 1), labels)
        losses = {f'loss_{name}': self.weights[name] * term() for name, term in terms.items() if self.weights[name]}
        scores = scores + scores_proj if self.weights['id_both'] else scores
        return losses | dict(accuracy=(scores.argmax(1) == labels).float().mean() * 100)

    def _check_identities(self, data_samples: Sequence[ReIDSample]) -> None:
        """Raise ValueError if a triplet loss would find no negative in the batch of this process."""
        pids = {sample.get('pid', i) for i, sample in enumerate(data_samples)}  # on the host
        triplets = any(weight for name, weight in self.weights.items() if name.startswith('triplet'))
        if triplets and len(pids) == 1 < len(data_samples) and not (self.gather and get_world_size() > 1):
            raise ValueError(
                f'the triplet loss needs several identities in a batch, but all {len(data_samples)} samples are of '
                "one: use sampler=dict(type='vlprompt.PKSampler')"
            )

    def _cross_entropy(self, scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores.float(), labels, label_smoothing=self.label_smoothing)

    def text_scores(self, joint: Tensor) -> Tensor:
        """(B, K) products of joint features (B, D) and prototypes, float32.

        Raises:
            ValueError: no prototypes were loaded from a first phase.
        """
        if not self._has_prototypes:
            if self.prototypes is None or bool(self.prototypes.isnan().any()):
                raise ValueError(
                    'the image-to-text loss needs the text features of the identities: run both phases, or set '
                    "start_from=dict(checkpoint='<checkpoint of the first phase>', keys=['prototypes']), or train the "
                    'baseline with model.weights.i2t=0'
                )
            self._has_prototypes = True
        dtype = torch.float16 if self.official else torch.float32
        with torch.autocast(joint.device.type, enabled=False):
            return (joint.to(dtype) @ self.prototypes.to(dtype).T).float()

    def take_as_filled(self) -> None:
        """Do not ask whether the prototypes are filled: tensors without data cannot tell."""
        self._has_prototypes = self.prototypes is not None

    def meet_data(self, metainfo: Mapping[str, Any], what: str, training: bool) -> None:
        """Raise if a dataset of the run does not fit the model.

        Raises:
            ConfigError: other numbers of identities (training), or of cameras or viewpoints that side information uses.
        """
        counts = dict(num_ids=self.num_ids) if training else {}
        if self.sie is not None and (training or self.sie.at_test == 'own'):
            counts |= dict(num_cameras=self.sie.num_cameras, num_views=self.sie.num_views)
        for name, ours in counts.items():
            theirs = metainfo.get(name)
            if ours is not None and theirs is not None and ours != theirs:
                remedy = (
                    f'leave model.{name} out of the config to follow the training data'
                    if training
                    else f'set model.{name}={theirs} if the checkpoint counts them otherwise (their product is that of '
                    "cameras and viewpoints), or model.sie.at_test='mean' to test on data of other cameras"
                )
                raise ConfigError(f'{what} has {name}={theirs}, but the model was built for {ours}: {remedy}')


def _image_tower(
    clip: Mapping[str, Any] | None, timm: Mapping[str, Any] | None
) -> tuple[ImageTower, ClipSource | None, Preprocessing | None]:
    """The image tower, the source of its weights, and how images were prepared for them if they tell.

    Raises:
        ValueError: not exactly one of both is given, or CLIP has options that re-identification does not read.
    """
    if (clip is None) == (timm is None):
        raise ValueError('ReIdentifier: give either clip=dict(...) or timm=dict(...) as the image tower')
    if timm is not None:
        return *build_timm_vit(**timm), way_of_timm(timm)
    towers = build_clip(**clip)
    refuse_unread_local(towers.visual, 'a ReIdentifier reads global features alone')
    refuse_text_lora(towers, 'a ReIdentifier')
    return towers.visual, towers.source, towers.preprocessing


def _present(levels: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    return tuple(level for level in levels if level is not None)
