"""What a GPU is measured on, the most important first: shipped configs with random weights of their true widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from vlprompt.alignment.sinkhorn import unchecked_sinkhorn
from vlprompt.apis.gpu_report.case import Case, Check
from vlprompt.apis.gpu_report.checks import golden_checks, own_checks
from vlprompt.apis.gpu_report.probes import Run
from vlprompt.apis.model import init_model
from vlprompt.apis.parameters import without_weights
from vlprompt.apis.sample_batch import image_size, random_descriptors, sample_batch
from vlprompt.clip import CLIP
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.clip.text.encoder import pack_texts_for_gpu
from vlprompt.engine.build import order_channels_last
from vlprompt.engine.config import load_config
from vlprompt.engine.dry_run import take_as_filled
from vlprompt.engine.phases import phase_config
from vlprompt.evaluation import RetrievalMetric
from vlprompt.prompts import ContextPrompt

DTYPES = {'float32': None, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


@dataclass(frozen=True)
class Setting:
    """Where and on what to measure.

    Attributes:
        device: that is measured.
        small: micro models and few images, to show on a CPU that everything runs.
        golden: folder of the reference numbers, if there is one.
    """

    device: torch.device
    small: bool
    golden: Path | None = None

    def pick(self, full: Any, small: Any) -> Any:
        """One of two sizes."""
        return small if self.small else full

    def precision(self, dtype: torch.dtype | None) -> str:
        """The peak by which work under autocast to a dtype is judged."""
        return 'tf32' if dtype is None else 'half'

    def model(self, config: str, **options: Any) -> nn.Module:
        """The model of a config, ``'name'`` or ``'name:phase'``, with random weights, as it is in a training."""
        name, _, phase = config.partition(':')
        cfg = phase_config(load_config(name), phase or None)
        model = init_model(without_weights(cfg), cfg_options={f'model.{key}': v for key, v in options.items()})
        if hasattr(model, 'set_class_counts'):
            model.set_class_counts([1] * model.num_classes)
        take_as_filled(model)
        if getattr(model, 'prototypes', None) is not None:
            model.prototypes.normal_()
        if self.device.type == 'cpu':
            pack_texts_for_gpu(model)
        else:
            order_channels_last(model)
        return model.train().to(self.device)

    def batch(self, model: nn.Module, images: int, training: bool = True) -> dict[str, Any]:
        """A batch of a model, on the device."""
        batch = sample_batch(model, images, image_size(model), training)
        return model.data_preprocessor.cast_data(batch) if training else {'inputs': batch['inputs'].to(self.device)}


def _training(
    setting: Setting, name: str, config: str, images: int, dtype: torch.dtype | None = None, **options: Any
) -> Case:
    """A training step: forward pass, backward pass, update."""

    def prepare() -> Run:
        model = setting.model(config, **options)
        optimizer = build_optim_wrapper(model, model.cfg.optim_wrapper).optimizer
        batch = setting.batch(model, images)

        def step() -> None:
            with torch.autocast(setting.device.type, dtype, enabled=dtype is not None):
                loss, _ = model.parse_losses(model(**batch, mode='loss'))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    return Case(name, prepare, setting.precision(dtype), images)


def _test(
    setting: Setting, name: str, config: str, images: int, dtype: torch.dtype | None = None, **options: Any
) -> Case:
    """A batch of a test, whose text features are there."""

    def prepare() -> Run:
        model = setting.model(config, **options).eval()
        batch = setting.batch(model, images, training=False)

        @torch.no_grad()
        def test() -> None:
            with torch.autocast(setting.device.type, dtype, enabled=dtype is not None):
                model(**batch, mode='tensor')

        return test

    return Case(name, prepare, setting.precision(dtype), images)


def text_tower(setting: Setting) -> Iterator[Case]:
    """Forward and backward pass behind 16 context vectors: packed, compiled, and over all positions."""
    arch = setting.pick('RN50', 'micro-rn')
    towers: dict[str, CLIP] = {}

    def prepare(names: list[str], number: int, dtype: torch.dtype | None, way: str) -> Run | tuple[Run, Run]:
        if arch not in towers:
            towers[arch] = CLIP(arch).eval().requires_grad_(False).to(setting.device)
            if setting.device.type == 'cpu':
                pack_texts_for_gpu(towers[arch])
        text = towers[arch].text
        prompt = ContextPrompt(names, text, n_prompts=number, n_ctx=16).to(setting.device)

        def encode() -> Tensor:
            return text(prompt(text), reference=way == 'all positions')

        def both(encode: Callable[[], Tensor]) -> None:
            prompt.context.grad = None
            with torch.autocast(setting.device.type, dtype, enabled=dtype is not None):
                total = encode().float().sum()
            total.backward()

        plain = partial(both, encode)
        return (partial(both, torch.compile(encode)), plain) if way == 'compiled' else plain

    sets = setting.pick({'dtd': None, 'caltech101': None, 'imagenet': None}, {'dtd': 10})
    compiled = setting.pick((('dtd', 1), ('imagenet', 4)), ())  # compilers take half a minute each
    for dataset, few in sets.items():
        names = list(resolve_class_names(dataset))[:few]
        for number in setting.pick((1, 4), (1,)):
            for kind, dtype in DTYPES.items():
                ways = ['packed', 'all positions', *(['compiled'] if (dataset, number) in compiled else [])]
                for way in ways if kind != 'float16' else ways[:1]:
                    yield Case(
                        f'{len(names)} names, N = {number}, {way}, {kind}',
                        partial(prepare, names, number, dtype, way),
                        setting.precision(dtype),
                    )


def prompts(setting: Setting) -> Iterator[Case]:
    """Training steps and tests of CoOp and PLOT."""
    coop, plot = setting.pick(('coop_rn50', 'plot_rn50'), ('coop_micro-rn', 'plot_micro-rn'))
    names = resolve_class_names('dtd')[:8] if setting.small else 'imagenet'
    for images in setting.pick((32, 128), (4,)):
        for kind, dtype in setting.pick({'float32': None, 'float16': torch.float16}, {'float32': None}).items():
            for title, config in (('PLOT, N = 4', plot), ('CoOp', coop)):
                yield _training(
                    setting, f'{title}, step, {images} images, {kind}', config, images, dtype, class_names=names
                )
    for title, config in (('PLOT, N = 4', plot), ('CoOp', coop)):
        images = setting.pick(100, 4)
        yield _test(setting, f'{title}, test, {images} images', config, images, class_names=names)


def transport(setting: Setting) -> Iterator[Case]:
    """Plans of all pairs of an image and a class, 49 local features to 4 prompts."""
    images, classes = setting.pick((128, 1000), (2, 5))

    def prepare(method: str) -> Run:
        cost = torch.rand(images, classes, 49, 4, device=setting.device)
        return partial(unchecked_sinkhorn, cost, method=method)

    for method in ('fixed', 'log'):
        yield Case(f'{images} x {classes} plans of 49 x 4, {method}', partial(prepare, method), 'fp32')


def people(setting: Setting) -> Iterator[Case]:
    """Steps of both phases of CLIP-ReID, and the evaluation of MSMT17."""
    config = setting.pick('clipreid_vit-b16', 'clipreid_micro-vit')
    many, images = setting.pick((1041, 64), (5, 8))
    yield _training(
        setting, f'first phase, {images} features', f'{config}:prompts', images, num_ids=many, noun='person'
    )
    for kind, dtype in setting.pick({'float32': None, 'float16': torch.float16}, {'float32': None}).items():
        yield _training(
            setting,
            f'second phase, {images} images, {kind}',
            f'{config}:finetune',
            images,
            dtype,
            num_ids=many,
            num_cameras=15,
        )
    queries, gallery = setting.pick((11_659, 82_161), (20, 200))

    def prepare() -> Run:
        images = random_descriptors(queries, gallery, setting.pick(1280, 64))
        metric = RetrievalMetric(device=str(setting.device))
        return partial(metric.calculate, *images)

    yield Case(f'evaluation, {queries:,} x {gallery:,}', prepare, 'fp32')


def segmentation(setting: Setting) -> Iterator[Case]:
    """A training step and a slide test of DenseCLIP."""
    config = setting.pick('denseclip_r50_fpn_80k_ade20k-512x512', 'denseclip_micro-rn_fpn_200i_scenes-160x160')
    shape, images = setting.pick((512, 683), (160, 200)), setting.pick(4, 2)
    yield _training(setting, f'step, {images} images', config, images)

    def prepare() -> Run:
        model = setting.model(config).eval()
        side = image_size(model)
        stride = tuple(2 * length // 3 for length in side)
        model.test_cfg = ConfigDict(mode='slide', crop_size=side, stride=stride)
        image, about = torch.randn(1, 3, *shape, device=setting.device), [dict(ori_shape=shape, img_shape=shape)]
        return torch.no_grad()(partial(model.inference, image, about))

    yield Case(f'slide test, {shape[0]} x {shape[1]}', prepare, images=1)


def long_tail(setting: Setting) -> Iterator[Case]:
    """A step of LPT's second phase, half of its images from either stream."""
    config, images = setting.pick('lpt_vit-b16-in21k', 'lpt_micro-vit'), setting.pick(128, 4)
    yield _training(setting, f'step, {images} images', f'{config}:groups', images, num_classes=setting.pick(365, 4))


def lora(setting: Setting) -> Iterator[Case]:
    """A step of CLIP-LoRA."""
    config, images = setting.pick('clip-lora_vit-b16', 'clip-lora_micro-vit'), setting.pick(32, 4)
    names = resolve_class_names('caltech101')[: setting.pick(None, 5)]
    for kind, dtype in setting.pick({'float32': None, 'float16': torch.float16}, {'float32': None}).items():
        yield _training(setting, f'step, {images} images, {kind}', config, images, dtype, class_names=names)


def numbers(setting: Setting) -> Iterator[Check]:
    """What the device computes in float32 without TF32, against a CPU and against reference numbers."""
    yield from own_checks(setting.device, setting.small)
    if setting.golden is not None:
        yield from golden_checks(setting.golden, setting.device)


SECTIONS: dict[str, Callable[[Setting], Iterator[Case | Check]]] = {
    'text tower': text_tower,
    'prompts': prompts,
    'sinkhorn': transport,
    'clip-reid': people,
    'denseclip': segmentation,
    'lpt': long_tail,
    'lora': lora,
    'numbers': numbers,
}
"""By name, in the order of their importance."""
