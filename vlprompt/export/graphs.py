"""Models as functions of an image alone, ready to be recorded: what does not depend on the image is computed before."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.clip import ClipFeatures
from vlprompt.clip.visual_prompts import VisualTokens
from vlprompt.errors import ExportError
from vlprompt.models.classifiers.base import Classifier
from vlprompt.models.classifiers.feature_classifier import FeatureClassifier
from vlprompt.models.classifiers.head_classifier import HeadClassifier
from vlprompt.models.classifiers.text_classifier import TextClassifier
from vlprompt.models.dense import TextGuidedBackbone
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.models.reid.reidentifier import ReIdentifier
from vlprompt.prompts import ImagePrompt


class Graph(nn.Module):
    """Base: normalised images (B, 3, H, W) float32 -> float32 outputs, in the order of :attr:`outputs`.

    Args:
        model: in eval mode; it is copied.
        half: the image tower, and what is trained beside it, computes in float16.

    Attributes:
        model: the copy, without a text tower that no image needs.
        dtype: of the image tower.
    """

    task: ClassVar[str]
    outputs: ClassVar[dict[str, str]]
    """Name of an output -> what it is."""

    def __init__(self, model: nn.Module, half: bool = False) -> None:
        super().__init__()
        refuse(model)
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.dtype = torch.float16 if half else torch.float32

    @property
    def any_batch(self) -> bool:
        """Whether the graph is one of any number of images; else, with the text tower in it, of one."""
        return True

    @classmethod
    def outputs_of(cls, model: nn.Module) -> dict[str, str]:
        """The outputs that there are of a model."""
        return cls.outputs

    @staticmethod
    def reference(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """The same outputs, computed by the model itself."""
        raise NotImplementedError

    def prepare(self, images: Tensor) -> None:
        """Compute what does not depend on images, then drop what nothing needs any more.

        Args:
            images: (B, 3, H, W), any.
        """
        with torch.no_grad():
            self(images)
        for part in self.model.modules():
            for value in vars(part).values():
                if isinstance(value, FeatureCache):
                    value.hold(self.text_dtype)
        if self.any_batch:
            self._drop_text()

    @property
    def text_dtype(self) -> torch.dtype:
        """Of text features that are constants."""
        return torch.float32

    def _drop_text(self) -> None:
        """Remove a text tower that no image needs."""


class TextGraph(Graph):
    """A :class:`~vlprompt.models.TextClassifier`: class weights and visual tokens are constants."""

    task = 'classification'
    outputs = dict(logits='(B, K), whose softmax are the probabilities of the classes')

    def __init__(self, model: TextClassifier, half: bool = False) -> None:
        super().__init__(model, half)
        if model.visual is not None:
            with torch.no_grad():
                tokens = model.visual(model.prompt) if model.visual.needs_text else model.visual()
            self.model.visual = FixedTokens(tokens)
            self.model.visual.to(self.dtype)
        self.model.clip.visual.to(self.dtype)

    @property
    def any_batch(self) -> bool:
        return not getattr(getattr(self.model, 'prompt', None), 'needs_image', False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features = self.model.image_features(image.to(self.dtype))
        return (self.model.scaled(self.model.align_features(in_float32(features)).logits),)

    @staticmethod
    def reference(model: Classifier, images: Tensor) -> dict[str, Tensor]:
        return dict(logits=model.scaled(model(images, mode='tensor')))

    def _drop_text(self) -> None:
        self.model.clip.text = nn.Identity()


class FeatureGraph(TextGraph):
    """A :class:`~vlprompt.models.FeatureClassifier`: what its solver has fitted and its text are constants."""

    def __init__(self, model: FeatureClassifier, half: bool = False) -> None:
        Graph.__init__(self, model, half)
        self.model.clip.visual.to(self.dtype)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.model.scaled(self.model.logits(image.to(self.dtype))),)


class HeadGraph(TextGraph):
    """A :class:`~vlprompt.models.HeadClassifier`: VPT, LPT, AdaptFormer, linear heads."""

    def __init__(self, model: HeadClassifier, half: bool = False) -> None:
        Graph.__init__(self, model, half)
        self.model.text = None  # it has given the head its first weights
        self.model.to(self.dtype)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.model.scaled(self.model.logits(image.to(self.dtype))),)

    def _drop_text(self) -> None:
        pass


class DescriptorGraph(Graph):
    """A :class:`~vlprompt.models.ReIdentifier`: descriptors of unit length."""

    task = 'embedding'
    outputs = dict(features='(B, D), rows of unit length, to be compared by their inner products')

    def __init__(self, model: ReIdentifier, half: bool = False) -> None:
        super().__init__(model, half)
        self.model.to(self.dtype)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (F.normalize(self.model(image.to(self.dtype), mode='tensor').float(), dim=1),)

    @staticmethod
    def reference(model: ReIdentifier, images: Tensor) -> dict[str, Tensor]:
        return dict(features=F.normalize(model(images, mode='tensor').float(), dim=1))


class SegmentorGraph(Graph):
    """An encoder-decoder of mmseg, such as a DenseCLIP, on whole images."""

    task = 'segmentation'
    outputs = dict(
        logits='(B, K, H, W), whose maximum over K is the class of a pixel',
        scores='(B, K, h, w), cosines of the cells of the image and the text of the classes',
    )

    def __init__(self, model: nn.Module, half: bool = False) -> None:
        super().__init__(model, half)
        self.model.to(self.dtype)
        for part in list(self.model.modules()):
            for name, child in part.named_children():
                if type(child).__name__ == 'Upsample' and not child.size:  # mmseg's, whose sizes are numbers
                    setattr(part, name, Upsample(child.scale_factor, child.mode, child.align_corners))

    @property
    def any_batch(self) -> bool:
        backbone = self.model.backbone
        return not isinstance(backbone, TextGuidedBackbone) or backbone.matching.prompting == 'post'

    @classmethod
    def outputs_of(cls, model: nn.Module) -> dict[str, str]:
        matches = isinstance(model.backbone, TextGuidedBackbone)
        return {name: what for name, what in cls.outputs.items() if matches or name != 'scores'}

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        logits = model.decode_head(model.extract_feat(image.to(self.dtype))).float()
        logits = F.interpolate(logits, image.shape[-2:], mode='bilinear', align_corners=model.align_corners)
        if not isinstance(model.backbone, TextGuidedBackbone):
            return (logits,)
        scores, model.backbone.matched = model.backbone.matched.scores, None
        return logits, scores

    @staticmethod
    def reference(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        shape = tuple(images.shape[-2:])
        found = dict(logits=model.encode_decode(images, [dict(img_shape=shape, ori_shape=shape)] * len(images)).float())
        if isinstance(model.backbone, TextGuidedBackbone):
            found['scores'] = model.score_map(images)
        return found

    @property
    def text_dtype(self) -> torch.dtype:
        return self.dtype  # the context decoder reads it

    def _drop_text(self) -> None:
        if isinstance(self.model.backbone, TextGuidedBackbone):
            self.model.backbone.matching.text = nn.Identity()


class WordsGraph(Graph):
    """A :class:`~vlprompt.models.segmentors.ClipSegmentor` on whole images."""

    task = 'segmentation'
    outputs = dict(logits='(B, K, H, W), whose maximum over K is the class of a pixel')

    def __init__(self, model: nn.Module, half: bool = False) -> None:
        super().__init__(model, half)
        self.model.clip.visual.to(self.dtype)
        self.words = model.class_of_word.bincount().tolist()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        cosines = self.model.encode_decode(image.to(self.dtype)).float()
        best = [words.amax(1) for words in cosines.split(self.words, 1)]
        return (self.model.logit_scale * torch.stack(best, 1),)

    @staticmethod
    def reference(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        cosines = model(images, mode='tensor').float()
        best = [cosines[:, model.class_of_word == number].amax(1) for number in range(len(model.class_names))]
        return dict(logits=model.logit_scale * torch.stack(best, 1))

    def _drop_text(self) -> None:
        self.model.clip.text = nn.Identity()


class Upsample(nn.Module):
    """Maps enlarged by a whole factor, of any size."""

    def __init__(self, factor: float, mode: str, align_corners: bool | None) -> None:
        super().__init__()
        self.factor, self.mode, self.align_corners = int(factor), mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = [side * self.factor for side in x.shape[-2:]]
        return F.interpolate(x, size, mode=self.mode, align_corners=self.align_corners)


class FixedTokens(ImagePrompt):
    """Visual tokens that are learned no more."""

    def __init__(self, tokens: VisualTokens) -> None:
        super().__init__()
        self.after_norm, self.sets, self.present = tokens.after_norm, tokens.sets, []
        for number, entry in enumerate(tokens.blocks):
            self.present.append(entry is not None)
            if entry is not None:
                self.register_buffer(f'block{number}', entry.detach().clone())

    def forward(self, prompt: None = None) -> VisualTokens:
        blocks = [getattr(self, f'block{number}') if there else None for number, there in enumerate(self.present)]
        return VisualTokens(tuple(blocks), self.after_norm, self.sets)


def graph_of(model: nn.Module) -> type[Graph]:
    """The kind of graph of a model.

    Raises:
        ExportError: there is none.
    """
    kinds = {
        FeatureClassifier: FeatureGraph,
        TextClassifier: TextGraph,
        HeadClassifier: HeadGraph,
        ReIdentifier: DescriptorGraph,
    }
    found = next((graph for kind, graph in kinds.items() if isinstance(model, kind)), None)
    if found is not None:
        return found
    names = {base.__name__ for base in type(model).__mro__}  # of mmseg and mmdet, which may be missing
    if 'ClipSegmentor' in names:
        return WordsGraph
    if 'EncoderDecoder' in names:
        return SegmentorGraph
    name = type(model).__name__
    if 'BaseDetector' in names:
        raise ExportError(
            f'{name}: detectors end in a suppression of boxes that no graph holds here, so none is written'
        )
    if name == 'IdentityPromptLearner':
        raise ExportError(f'{name} learns text, and predicts nothing: export the model of the second phase')
    raise ExportError(f'{name}: classifiers, segmentors and re-identification can be exported, this is none of them')


def refuse(model: nn.Module) -> None:
    """Raise if a graph of the image alone would not be what the model computes.

    Raises:
        ExportError: it would not; the message says what to do.
    """
    for part in model.modules():
        if getattr(part, 'method', None) == 'legacy':
            where = 'alignment' if isinstance(model, TextClassifier) else 'solver'
            raise ExportError(
                f"{type(part).__name__} with method='legacy' stops by the whole batch, which a graph cannot do: set "
                f'--cfg-options model.{where}.method=fixed, whose iterations are as many for every image'
            )
    if isinstance(model, ReIdentifier) and model.sie is not None and model.sie.needs_ids:
        raise ExportError(
            'the descriptor depends on the camera of the image: --cfg-options model.sie.at_test=mean takes the mean of '
            'all cameras'
        )
    if type(model).__name__ == 'ClipSegmentor':
        left = dict(threshold=model.threshold, least_share=model.least_share, refine=model.refine, proxy=model.proxy)
        for name, value in left.items():
            if value:
                raise ExportError(
                    f'model.{name} is a step of its own, beside the logits of classes that a file holds: leave it out, '
                    f'--cfg-options model.{name}={"None" if name in ("refine", "proxy") else 0}'
                )
    if isinstance(getattr(model, 'decode_head', None), nn.ModuleList):
        raise ExportError(f'{type(model).__name__}: a cascade of decode heads is not supported')


def in_float32(features: ClipFeatures) -> ClipFeatures:
    """Features in float32, without maps."""
    return replace(
        features,
        cls=features.cls.float(),
        local=None if features.local is None else features.local.float(),
        saliency=None if features.saliency is None else features.saliency.float(),
        maps=(),
    )
