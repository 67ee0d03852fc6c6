"""timm's vision transformers as :class:`VisionTransformer`, so that prompts and adapters work on one kind of trunk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.clip.build import FILE_SUFFIXES
from vlprompt.clip.download import hub_file, require_hub
from vlprompt.clip.model import ClipSource
from vlprompt.clip.position import Interpolation, resize_position_embedding
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.clip.tensor_files import find_state, read_tensors, require_finite
from vlprompt.clip.vit import VisionTransformer
from vlprompt.clip.weights import read_state_dict, state_sha256
from vlprompt.errors import DownloadError

PRETRAINED = 'pretrained'
"""The ``weights`` that timm offers for a name, downloaded or from its cache."""

_ARCH = ('width', 'layers', 'heads', 'patch_size', 'image_size')

_NAMES = {
    'cls_token': 'class_embedding',
    'pos_embed': 'positional_embedding',
    'patch_embed.proj.': 'conv1.',
    'norm_pre.': 'ln_pre.',
    'norm.': 'ln_post.',
}
_BLOCK_NAMES = {
    'norm1.': 'ln_1.',
    'norm2.': 'ln_2.',
    'attn.qkv.weight': 'attn.in_proj_weight',
    'attn.qkv.bias': 'attn.in_proj_bias',
    'attn.proj.': 'attn.out_proj.',
    'mlp.fc1.': 'mlp.c_fc.',
    'mlp.fc2.': 'mlp.c_proj.',
}
_HEADS = ('head.', 'head_dist.', 'fc.', 'fc_norm.', 'pre_logits.', 'prompt_learner.')
"""Prefixes of entries after the class token or on top of the trunk, which are dropped."""

_MASKS = ('masked_embed', 'mask_token')
"""What stands in pretraining for patches that the trunk does not see; dropped."""

_BACKBONES = ('backbone.', 'base.')
"""Prefixes of the trunk beside the head of self-supervised training, and beside that of re-identification."""


def build_timm_vit(
    name: str | None = None,
    weights: str | Path | None = None,
    arch: Mapping[str, Any] | None = None,
    norm_eps: float | None = None,
    image_size: int | tuple[int, int] | None = None,
    pretrain_ratio: float | None = None,
    interpolation: Interpolation = 'bicubic',
) -> tuple[VisionTransformer, ClipSource | None]:
    """Build a vision transformer with timm's weights; no projection into a joint space.

    Args:
        name: timm's name with the tag of the weights, such as ``'vit_base_patch16_224.augreg_in21k'``.
        weights: None for random ones; ``'pretrained'`` for those of the name; or a file in timm's naming
            (:func:`~vlprompt.clip.weights.read_state_dict`) or Google's (``.npz``).  A training checkpoint of DINO's
            code will do: the entries ``backbone.*`` of its ``teacher`` are read; or one of TransReID's: ``base.*``.
        arch: instead of a name, ``width``, ``layers``, ``heads``, ``patch_size`` and ``image_size``.
        norm_eps: epsilon of the layer norms; None: timm's, 1e-6.  LPT's published weights need 1e-5.
        image_size: pixels to resize the position embedding to once, when loading.
        pretrain_ratio: height to width of the images that the weights were trained on, such as 2 for persons of
            256 x 128 pixels.  None: the grid of the position embedding is square, or, if it cannot be, that of
            ``image_size``.
        interpolation: how the position embedding is resized.

    Returns:
        The trunk in eval mode, fp32, on the CPU, and the source of its weights (None if random).

    Raises:
        ValueError: a name that timm does not have, not a plain ViT with a class token, weights that do not fit or are
            not finite; or a ``pretrain_ratio`` that is no positive number, or that the number of positions does not
            have, or that is needed.
        FileNotFoundError: the file is missing, or the download failed.
    """
    if (name is None) == (arch is None):
        raise ValueError(f'build_timm_vit needs a name of timm or an arch, got name={name!r}, arch={arch!r}')
    if arch is not None and set(arch) != set(_ARCH):
        raise ValueError(f'build_timm_vit: arch must give {", ".join(_ARCH)}, got {", ".join(arch) or "nothing"}')
    shape = dict(arch, norm_eps=1e-6) if arch is not None else _shape_of(_timm_model(name), name)
    size = shape.pop('image_size')
    size = size if image_size is None else image_size
    shape['norm_eps'] = shape['norm_eps'] if norm_eps is None else norm_eps
    if pretrain_ratio is not None and not (isfinite(pretrain_ratio) and pretrain_ratio > 0):
        raise ValueError(
            f'build_timm_vit: pretrain_ratio={pretrain_ratio} must be a positive number, height / width of the images '
            'that the weights were trained on'
        )
    with nullcontext() if weights is None else torch.device('meta'):
        visual = VisionTransformer(
            **shape,
            embed_dim=None,
            image_size=(size, size) if isinstance(size, int) else tuple(size),
            quick_gelu=False,
            pre_norm=False,
            patch_bias=True,
            interpolation=interpolation,
        ).eval()
    if weights is None:
        return visual, None
    state, called = _read(name, weights)
    state = from_timm_names(state)
    source = ClipSource(called, state_sha256(state))
    positions = state['positional_embedding']
    grid = _trained_grid(len(positions) - 1, pretrain_ratio, visual.grid_size, called)
    state['positional_embedding'] = resize_position_embedding(positions, grid, visual.grid_size, interpolation)
    try:
        visual.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(f'{called} does not fit {name or dict(arch)}: {error}') from error
    return visual, source


def _trained_grid(patches: int, ratio: float | None, wanted: tuple[int, int], called: str) -> tuple[int, int]:
    """(h, w) of the patches that a position embedding is for, see ``pretrain_ratio`` of :func:`build_timm_vit`."""
    width = round((patches / (ratio or 1)) ** 0.5)
    height = round(width * (ratio or 1))
    if height * width == patches:
        return height, width
    if ratio is None and wanted[0] * wanted[1] == patches:
        return wanted
    grid = f'neither a square nor {wanted[0]} x {wanted[1]}, as for image_size'
    if ratio is not None:
        grid = f'no grid {ratio:g} times as high as wide'
    raise ValueError(
        f'{called} has positions of {patches} patches, which are {grid}: set pretrain_ratio to height / width of the '
        'images that the weights were trained on'
    )


def from_timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of timm in the names of :class:`VisionTransformer`, fp32.

    Heads and tokens of masked patches are dropped, and the prefix ``backbone.`` or ``base.``, with which DINO's and
    TransReID's code save a trunk beside a head.

    Raises:
        ValueError: an entry that a plain ViT with a class token does not have, or one that it lacks; a convolutional
            stem.
    """
    for prefix in _BACKBONES:
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if stem := [key for key in state if key.startswith('patch_embed.conv')]:
        raise ValueError(
            f'a ViT with a convolutional stem ({stem[0]}) is not supported: take weights whose patch embedding is one '
            'convolution (patch_embed.proj.weight)'
        )
    missing = [key for key in ('cls_token', 'pos_embed', 'patch_embed.proj.weight') if key not in state]
    if missing:
        raise ValueError(f"not a ViT in timm's naming: it lacks {', '.join(missing)}, has {sorted(state)[:3]}")
    renamed = {}
    for key, value in state.items():
        if key.startswith(_HEADS) or key in _MASKS:
            continue
        value = value.float()
        if key.startswith('blocks.'):
            _, index, rest = key.split('.', 2)
            target = f'transformer.resblocks.{index}.' + _renamed(rest, _BLOCK_NAMES, key)
        else:
            target = _renamed(key, _NAMES, key)
        if target == 'class_embedding':
            value = value.reshape(-1)
        elif target == 'positional_embedding':
            value = value.squeeze(0)
        renamed[target] = value
    return renamed


def _renamed(key: str, names: Mapping[str, str], full: str) -> str:
    for old, new in names.items():
        if key == old or (old.endswith('.') and key.startswith(old)):
            return new + key.removeprefix(old)
    raise ValueError(f'{full!r} is not a tensor of a plain ViT; layer scale, query-key norm etc. are not supported')


def _require_known(name: str) -> None:
    """Raise ValueError for a name of a model or of weights that timm does not have."""
    import timm

    model, _, tag = name.partition('.')
    if not timm.is_model(model):
        close = ', '.join(get_close_matches(model, timm.list_models('*vit*'), 5))
        raise ValueError(f'timm knows no model {model!r}; it has {close or "none of a similar name"}')
    if tag and name not in (known := timm.list_pretrained(f'{model}.*')):
        raise ValueError(f'timm has no weights {name!r}; of this model it has {", ".join(known) or "none"}')


def timm_preprocessing(name: str) -> tuple[Preprocessing, tuple[int, int]]:
    """How images were prepared for timm's weights of a name, and (H, W) of them in pixels.

    Raises:
        ValueError: a name that timm does not have, or a way that is not known.
    """
    import timm

    _require_known(name)
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        raise ValueError(f'timm does not say how images were prepared for {name}: set mean and std in the config')
    mode = 'squash' if cfg.crop_mode == 'squash' else 'shortest'
    way = dict(mean=cfg.mean, std=cfg.std, interpolation=cfg.interpolation, resize_mode=mode)
    return Preprocessing.read(way), tuple(cfg.input_size[1:])


def way_of_timm(trunk: Mapping[str, Any]) -> Preprocessing | None:
    """How images were prepared for the weights of a trunk, by its name; None where it has none.

    Args:
        trunk: arguments of :func:`build_timm_vit`.

    Raises:
        ValueError: see :func:`timm_preprocessing`.
    """
    return None if trunk.get('name') is None else timm_preprocessing(trunk['name'])[0]


def _timm_model(name: str, **options: Any) -> nn.Module:
    import timm

    _require_known(name)
    if options:
        return timm.create_model(name, num_classes=0, **options)
    with torch.device('meta'):
        return timm.create_model(name, num_classes=0)


def _timm_repository(name: str) -> str:
    """Where on huggingface.co timm's weights of a name are."""
    import timm

    return timm.get_pretrained_cfg(name).hf_hub_id or f'timm/{name}'


def _shape_of(model: nn.Module, name: str) -> dict[str, Any]:
    """Arguments of our :class:`VisionTransformer`, read from timm's module."""
    block = model.blocks[0] if hasattr(model, 'blocks') else None
    plain = (
        type(model).__name__ == 'VisionTransformer'
        and model.num_prefix_tokens == 1
        and model.pos_embed.shape[1] == 1 + model.patch_embed.num_patches
        and isinstance(model.norm_pre, nn.Identity)
        and isinstance(model.norm, nn.LayerNorm)
        and isinstance(block.ls1, nn.Identity)
        and isinstance(block.attn.q_norm, nn.Identity)
        and isinstance(block.mlp.act, nn.GELU)
        and block.mlp.fc1.out_features == 4 * model.embed_dim
    )
    if not plain:
        raise ValueError(
            f'{name} is not a plain ViT (class token, GELU, four-fold MLP, norm after the last block), which is what '
            'build_timm_vit takes'
        )
    return dict(
        width=model.embed_dim,
        layers=len(model.blocks),
        heads=block.attn.num_heads,
        patch_size=model.patch_embed.patch_size[0],
        image_size=tuple(model.patch_embed.img_size),
        norm_eps=model.norm.eps,
    )


def _read(name: str | None, weights: str | Path) -> tuple[dict[str, Tensor], str]:
    """State dict in timm's naming, and its name.

    timm converts ``.npz``, which it reads itself, and the tensors of a cached file, which it is given; a download it
    fetches and reads, with ``weights_only``.  So no code in a file runs.  Errors name files, and the result is finite.

    Raises:
        CheckpointError: a damaged file, or tensors that hold NaN or infinity.
        DownloadError: the weights of a name are neither cached nor can be fetched.
    """
    path = Path(weights).expanduser()
    if path.name.endswith(FILE_SUFFIXES):
        return read_state_dict(path), f'file:{path.name}'
    if name is None:
        raise ValueError(f'weights={str(weights)!r} is not a weight file; other weights need the name of a timm model')
    if path.suffix == '.npz':
        read_tensors(path)
        model = _timm_model(name, pretrained=False)
        model.load_pretrained(str(path))
        return _finite(model, str(path)), f'file:{path.name}'
    if weights != PRETRAINED:
        raise ValueError(f'weights={str(weights)!r} must be {PRETRAINED!r} or a file ending in {FILE_SUFFIXES} or .npz')
    repository = _timm_repository(name)
    try:
        cached = hub_file(repository, 'model.safetensors', 'pytorch_model.bin')
        if cached is None:
            require_hub()
            overlay = {}
        else:
            overlay = dict(pretrained_cfg_overlay=dict(state_dict=find_state(read_tensors(cached), cached)))
        model = _timm_model(name, pretrained=True, **overlay)
    except (OSError, RuntimeError) as error:
        places = f'https://huggingface.co/{repository} (model.safetensors)'
        options = dict(weights='/path/to/model.safetensors')
        raise DownloadError(f'the weights of {name} from timm', places, options, PRETRAINED, error) from error
    return _finite(model, f'the weights of {name}' if cached is None else str(cached)), f'timm:{name}'


def _finite(model: nn.Module, source: str) -> dict[str, Tensor]:
    """The state dict of a model, which :func:`require_finite` has passed."""
    state = model.state_dict()
    require_finite(state, state, source)
    return state
