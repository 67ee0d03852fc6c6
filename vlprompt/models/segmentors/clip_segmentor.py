"""Segmentation of images into any words without training: CLIP's local features against text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import lcm
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor

from vlprompt.clip import VisionTransformer, build_clip
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.clip.proxy_tokens import proxy_tokens
from vlprompt.errors import ImageSizeError
from vlprompt.messages import enumerate_names
from vlprompt.models.base import PromptTunedMixin
from vlprompt.models.dense.class_names import dense_class_names
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.models.preprocessors import preprocessor_for
from vlprompt.models.segmentors.pamr import refine_by_pixels
from vlprompt.models.segmentors.proxy import ProxyTower
from vlprompt.prompts import TemplatePrompt
from vlprompt.registry import MODELS

ConfigType = dict


@MODELS.register_module()
class ClipSegmentor(PromptTunedMixin, EncoderDecoder):
    """Label every pixel by the text that its local feature is closest to; nothing is trained.

    Flow of a prediction::

        windows          mmseg's slide_inference() or whole_inference()
          local features clip.visual in the form ``clip.vision.local`` -> unit rows (B, h * w, D)
          cosines        with S words, the normalised mean of whose templates is (S, D) -> resized to the window
        mean of windows  -> (S, H, W) at the size of the file
          refine         optional, PAMR by the pixels
          probabilities  softmax over all words of ``logit_scale`` times the cosine, the largest of each class
          label          the most probable class; the background where that is below ``threshold``

    The form of the local features is the method: MaskCLIP, SCLIP, ClearCLIP, NACLIP
    (:mod:`vlprompt.clip.local_tokens`), ``'value'`` of a ResNet.  The text is encoded once for all images.

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`.
        class_names: K names; one with commas, ``'sofa, couch'``, gives several words for a class. A string: a text
            file, or a dataset of mmseg. If left out, those of the data.
        words: class name -> the words that describe it instead of its name.
        templates: of the words, as for :class:`~vlprompt.prompts.TemplatePrompt`.
        logit_scale: factor of the cosines before the softmax.  It matters where there is a threshold, or a class with
            several words.
        threshold: pixels whose most probable class is less probable belong to the background.
        background: name of the class that is the background, which ``threshold`` and ``least_share`` need.
        least_share: other classes with no more than this share of the pixels that are not background are dropped
            (SCLIP).
        refine: ``dict(steps=10, dilations=(8, 16))``, arguments of
            :func:`~vlprompt.models.segmentors.pamr.refine_by_pixels`; None: no refinement.
        proxy: arguments of a :class:`~vlprompt.models.segmentors.proxy.ProxyTower`, by whose similarities the values of
            CLIP's last block are averaged (ProxyCLIP); None: CLIP alone.
        data_preprocessor: config of the preprocessor; None: mmseg's, for BGR images of 0 to 255, with the mean and
            deviation of the weights.
        test_cfg, init_cfg: of mmseg's :class:`EncoderDecoder`.

    Raises:
        ValueError: no class names, an empty or repeated word in them, ``words`` of no class, a threshold or share
            without a background, overlapping patches, or a proxy beside a ResNet or another form of local features.
    """

    open_vocabulary = True
    nested = dict(clip=build_clip, refine=refine_by_pixels, proxy=ProxyTower)
    data_arguments = ('class_names',)
    align_corners = False

    def __init__(
        self,
        clip: ConfigType,
        class_names: str | Sequence[str] | None = None,
        words: Mapping[str, Sequence[str]] | None = None,
        templates: str | Sequence[str] = 'ensemble-80',
        logit_scale: float = 40.0,
        threshold: float = 0.0,
        background: str | None = None,
        least_share: float = 0.0,
        refine: ConfigType | None = None,
        proxy: ConfigType | None = None,
        test_cfg: ConfigType | None = None,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        if class_names is None:
            raise ValueError(
                'ClipSegmentor: class_names is missing, and no dataset gives the names: list them, or name a dataset '
                'of mmseg or a text file'
            )
        for name, value in (('threshold', threshold), ('least_share', least_share)):
            if not 0 <= value <= 1:
                raise ValueError(f'ClipSegmentor: {name}={value} is no share between 0 and 1')
        if background is None and (threshold > 0 or least_share > 0):
            raise ValueError('ClipSegmentor: threshold and least_share need background, the name of a class')
        towers = build_clip(**clip)
        if isinstance(towers.visual, VisionTransformer):
            towers.visual.require_cells()
        usual = preprocessor_for(towers.preprocessing, 'vlprompt.SegPreprocessor', unit=255, bgr_to_rgb=True)
        super(EncoderDecoder, self).__init__(data_preprocessor or usual, init_cfg)  # there is neither backbone nor head
        self.clip = towers
        self.test_cfg = ConfigDict(test_cfg or dict(mode='whole'))
        self.words = dict(words or {})
        self.logit_scale, self.threshold, self.least_share = logit_scale, threshold, least_share
        self.background = background
        self.refine = refine
        self.names_follow_data = isinstance(class_names, str)
        self.class_names, spelled = self._read_words(dense_class_names(class_names, 'mmseg'))
        self.register_buffer('class_of_word', _class_of_each(spelled), persistent=False)
        self.prompt = TemplatePrompt(list(chain.from_iterable(spelled)), self.clip.text, templates)
        self._text_cache = FeatureCache()
        self.proxy = None if proxy is None else ProxyTower(**proxy)
        if proxy is not None:
            self._check_proxy()
        self.freeze(trainable=())

    def _check_proxy(self) -> None:
        if not self.clip.arch.is_vit:
            raise ValueError(
                f'ClipSegmentor: proxy needs a ViT of CLIP; {self.clip.arch.name} has {self.clip.arch.described}'
            )
        refuse_unread_local(self.clip.visual, 'the attention is that of the proxy')
        if not hasattr(self.data_preprocessor, 'mean'):
            raise ValueError(
                'ClipSegmentor: proxy needs a data_preprocessor with mean and std, to see pixels as it was trained to'
            )

    @classmethod
    def config_of_classes(cls, config: Mapping[str, Any], class_names: str | Sequence[str]) -> dict[str, Any]:
        """The config for other classes, without words and background that are none of them; the log says so."""
        changed = dict(config, class_names=class_names)
        names = dense_class_names(class_names, 'mmseg')
        known = {*names, *(_words_in(name)[0] for name in names)}
        words = dict(config.get('words') or {})
        changed['words'] = {name: own for name, own in words.items() if name in known}
        background = config.get('background')
        if background is not None and background not in known:
            changed |= dict(background=None, threshold=0.0, least_share=0.0)
            print_log(f'background={background!r} is none of the classes: no pixel is left to it', 'current')
        return changed

    def set_class_names(self, class_names: str | Sequence[str]) -> None:
        """Label by other classes from now on.

        Raises:
            ValueError: as in the constructor.
        """
        names, spelled = self._read_words(dense_class_names(class_names, 'mmseg'))
        self.prompt.set_class_names(list(chain.from_iterable(spelled)))
        self.class_names, self.class_of_word = names, _class_of_each(spelled).to(self.class_of_word.device)
        self._text_cache.clear()

    def _read_words(self, names: Sequence[str]) -> tuple[tuple[str, ...], list[list[str]]]:
        """The K names, and the words of each class."""
        short = [_words_in(name)[0] for name in names]
        if unknown := sorted(set(self.words) - {*short, *names}):
            raise ValueError(
                f'ClipSegmentor: words has {enumerate_names(unknown)}, which is no class; the classes are '
                f'{enumerate_names(names)}'
            )
        if self.background is not None and self.background not in {*short, *names}:
            raise ValueError(
                f'ClipSegmentor: background={self.background!r} is none of the classes {enumerate_names(names)}'
            )
        _refuse_repeated(names)
        spelled = [
            list(self.words.get(name, self.words.get(first, _words_in(name))))
            for name, first in zip(names, short, strict=True)
        ]
        if empty := [name for name, words in zip(names, spelled, strict=True) if not words]:
            raise ValueError(f'ClipSegmentor: the class {empty[0]!r} has no words')
        return tuple(names), spelled

    @property
    def background_index(self) -> int | None:
        """The class that is the background, None if there is none."""
        places = (i for i, name in enumerate(self.class_names) if self.background in (name, _words_in(name)[0]))
        return next(places, None)

    @property
    def local_form(self) -> str | dict[str, Any]:
        """The form of the local features."""
        return self.clip.visual.local

    @property
    def out_channels(self) -> int:
        """S, the number of words, of which windows have scores."""
        return len(self.class_of_word)

    def train(self, mode: bool = True) -> ClipSegmentor:
        self._text_cache.clear()
        return super().train(mode)

    def text_features(self) -> Tensor:
        """(S, D) unit rows: the mean over templates of unit features, normalised."""

        def encode() -> Tensor:
            features = self.prompt.encode(self.clip.text).float()
            return F.normalize(F.normalize(features, dim=-1).mean(0), dim=-1)

        return self._text_cache(encode, (self.prompt, self.clip.text))

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Unit local features (B, D, h, w) of normalised images (B, 3, H, W)."""
        if self.proxy is None:
            features = self.clip.encode_image(inputs, maps=False)
            local = features.local.transpose(1, 2).unflatten(2, features.grid)
        else:
            places = self.proxy(inputs * self.data_preprocessor.std + self.data_preprocessor.mean)
            local = proxy_tokens(self.clip.visual, inputs, places, self.proxy.beta, self.proxy.gamma)
        return F.normalize(local.float(), dim=1)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """(B, S, H, W) cosines of the pixels of a window (B, 3, H, W) with the words.

        Sides that are no multiple of a cell, or of the cells of both towers, are filled up with zeros, as much left as
        right, and cut back; so are windows for a tower that takes one size alone.

        Raises:
            ImageSizeError: a window that is larger than such a tower takes.
        """
        height, width = inputs.shape[-2:]
        rest = self._missing(height, width)
        top, left = rest[0] // 2, rest[1] // 2
        padded = F.pad(inputs, (left, rest[1] - left, top, rest[0] - top))
        scores = torch.einsum('bdhw,sd->bshw', self.extract_feat(padded), self.text_features())
        scores = F.interpolate(scores, padded.shape[-2:], mode='bilinear', align_corners=False)
        return scores[..., top : top + height, left : left + width]

    def _missing(self, height: int, width: int) -> list[int]:
        """Rows and columns that a window lacks to be an input of the towers."""
        tower = self.clip.visual
        if getattr(tower, 'any_size', True):
            cell = lcm(self.clip.cell_size, 1 if self.proxy is None else self.proxy.visual.patch_size)
            return [-side % cell for side in (height, width)]
        rest = [most - side for most, side in zip(tower.image_size, (height, width), strict=True)]
        if min(rest) < 0:
            raise ImageSizeError(
                f'windows of {height} x {width} pixels, but {tower.name} takes {tower.image_size[0]} x '
                f'{tower.image_size[1]} alone: set model.clip.image_size, or windows of this size (windows=slide and '
                'crop_size)'
            )
        return rest

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """There is none.

        Raises:
            TypeError: always.
        """
        raise TypeError('ClipSegmentor is not trained: test it with vlprompt test CONFIG none')

    def _forward(self, inputs: Tensor, data_samples: SampleList | None = None) -> Tensor:
        """``mode='tensor'``: (B, S, H, W) cosines of whole images."""
        return self.encode_decode(inputs)

    def predict(self, inputs: Tensor, data_samples: SampleList | None = None) -> SampleList:
        """Set ``pred_sem_seg`` (1, H, W), labels at the size of the files, and ``seg_logits`` (K, H, W),
        probabilities that sum to 1.

        Args:
            inputs: (B, 3, H, W) normalised images.
            data_samples: B samples with the sizes of the files; None: they are those of the inputs.
        """
        if data_samples is None:
            shape = tuple(inputs.shape[-2:])
            data_samples = [SegDataSample(metainfo=dict(ori_shape=shape, img_shape=shape)) for _ in inputs]
        scores = self.inference(inputs, [sample.metainfo for sample in data_samples])
        for number, sample in enumerate(data_samples):
            whole = _at_file(scores[number : number + 1], sample.metainfo)
            if self.refine is not None:
                image = _at_file(inputs[number : number + 1], sample.metainfo)
                whole = refine_by_pixels(whole, image, **self.refine)
            label, probability = self.label(whole[0])
            sample.set_data(dict(pred_sem_seg=PixelData(data=label[None]), seg_logits=PixelData(data=probability)))
        return data_samples

    def label(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Classes of pixels by their cosines with the words.

        Args:
            scores: (S, H, W).

        Returns:
            Labels (H, W) and probabilities (K, H, W), which sum to 1 over the classes.
        """
        words = (self.logit_scale * scores).softmax(0)
        classes = self.class_of_word[:, None, None].expand_as(words)
        shape = (len(self.class_names), *words.shape[1:])
        probability = words.new_zeros(shape).scatter_reduce(0, classes, words, 'amax')
        if self.least_share > 0:
            probability = self._without_rare(probability)
        best, label = probability.max(0)
        if self.background_index is not None:
            label = label.masked_fill(best < self.threshold, self.background_index)
        return label, probability / probability.sum(0)

    def _without_rare(self, probability: Tensor) -> Tensor:
        background = self.background_index
        counts = probability.argmax(0).flatten().bincount(minlength=len(probability))
        counts[background] = 0
        rare = counts <= self.least_share * counts.sum()
        rare[background] = False
        return probability.masked_fill(rare[:, None, None], 0)


def _words_in(name: str) -> list[str]:
    """The words of a class name with commas."""
    words = [word.strip() for word in name.split(',')]
    if not all(words):
        raise ValueError(f'ClipSegmentor: the class {name!r} has an empty word; words are separated by commas')
    return words


def _refuse_repeated(names: Sequence[str]) -> None:
    """Raise if a word stands in the names of two classes, or twice in one: it could only ever decide for the first."""
    owner: dict[str, str] = {}
    for name in names:
        for word in _words_in(name):
            if (other := owner.get(word.lower())) is not None:
                raise ValueError(f'ClipSegmentor: the word {word!r} of the class {name!r} is one of {other!r} too')
            owner[word.lower()] = name


def _class_of_each(words: Sequence[Sequence[str]]) -> Tensor:
    """(S,) the class of each word."""
    return torch.tensor([number for number, own in enumerate(words) for _ in own])


def _at_file(values: Tensor, metainfo: Mapping[str, Any]) -> Tensor:
    """Of (1, C, H, W) the part that is no padding, mirrored back, and resized to the size of the file."""
    left, right, top, bottom = metainfo.get('img_padding_size', metainfo.get('padding_size', [0] * 4))
    height, width = values.shape[-2:]
    values = values[..., top : height - bottom, left : width - right]
    if metainfo.get('flip'):
        values = values.flip(3 if metainfo['flip_direction'] == 'horizontal' else 2)
    return F.interpolate(values, tuple(metainfo['ori_shape'][:2]), mode='bilinear', align_corners=False)
