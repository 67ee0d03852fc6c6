"""Building a CLIP from an architecture and weights."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.architectures import (
    QUICK_GELU_SUFFIX,
    RESNET_STRIDE,
    Architecture,
    architecture_of,
    find_architecture,
    open_clip_name,
)
from vlprompt.clip.builtin import BUILTIN_WEIGHTS, read_builtin
from vlprompt.clip.download import hub_folder_file, open_clip_file
from vlprompt.clip.low_rank import LoraOptions, add_lora
from vlprompt.clip.model import CLIP, ClipSource
from vlprompt.clip.open_clip_config import OpenClipArchitecture
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.clip.weights import (
    OPTIONS_FILE,
    WEIGHT_FILES,
    WeightOptions,
    file_in_folder,
    read_options,
    read_state_dict,
    read_weights,
    resize_image_positions,
    state_sha256,
    to_internal_names,
)
from vlprompt.errors import DownloadError

_logger = logging.getLogger(__name__)

HUB = 'hf-hub:'
FILE_SUFFIXES = ('.pt', '.pth', '.pth.tar', '.bin', '.safetensors')


def build_clip(
    arch: str | Mapping | Architecture | None = None,
    weights: str | Path | None = None,
    quick_gelu: bool | None = None,
    image_size: int | tuple[int, int] | None = None,
    vision: Mapping[str, Any] | None = None,
    lora: Mapping[str, Any] | None = None,
) -> CLIP:
    """Build a CLIP.

    Args:
        arch: ``'RN50'``, ``'RN101'``, ``'RN50x4'``, ``'RN50x16'``, ``'RN50x64'``, ``'ViT-B/32'``,
            ``'ViT-B/16'``, ``'ViT-L/14'``, ``'ViT-L/14@336px'`` (open_clip's spelling works too), the
            built-in ``'micro-rn'`` and ``'micro-vit'``, or a dict of the fields of
            :class:`~vlprompt.clip.Architecture`. None: read from the weight file.
        weights: None for random ones; a path to a file (see
            :func:`~vlprompt.clip.weights.read_state_dict`), to a folder with ``open_clip_config.json`` and the weights,
            or ``'hf-hub:ORG/NAME'``, such a folder on huggingface.co; ``'scenes'``, shipped for the micro
            architectures; ``'labels'``, shipped for ``'micro-rn'``: an image tower that was trained on labels, as on
            ImageNet, beside a random text tower; or a tag of open_clip such as ``'openai'`` or
            ``'laion2b_s34b_b79k'``, which open_clip downloads.
        quick_gelu: OpenAI's activation instead of GELU. None: open_clip's setting for a tag, that of
            ``open_clip_config.json`` beside a file, True for OpenAI's archives, and for an ``arch`` that ends in
            ``-quickgelu``. Other files do not tell: True is then assumed, with a warning in the log; give False for
            models trained with GELU, such as LAION's.
        image_size: pixels (side, or (H, W)) to resize the image tower's position embedding to once,
            when loading. Not needed for other image sizes, which are always accepted, but trains the position
            embedding at another size and saves resizing it in every forward pass.
        vision: further options of the image tower, see :class:`CLIP`.
        lora: options of low-rank branches in the towers, see :class:`~vlprompt.clip.low_rank.LoraOptions`; ``{}`` for
            CLIP-LoRA's. A model trains them with the pattern ``'*.lora.*'`` in ``trainable``. None: no branches.

    Returns:
        The model in eval mode, fp32, on the CPU.

    Raises:
        ValueError: the architecture is not determined, the weights are of another one (the message names the first
            differing field), or they lack entries or have unknown ones; or ``lora`` does not fit the towers.
        FileNotFoundError: a file is missing or a download failed.
    """
    if weights is None:
        if arch is None:
            raise ValueError('build_clip needs arch, weights, or both')
        return _adapted(CLIP(arch, quick_gelu, image_size, vision), lora)

    wanted = None if arch is None else find_architecture(arch)
    state, name, options = _read(arch, wanted, weights)
    if isinstance(wanted, OpenClipArchitecture) or isinstance(options.arch, OpenClipArchitecture):
        foreign = _same_config(wanted, options, name)
        if options.preprocessing is None:
            options = replace(options, preprocessing=_way_of_all_tags(foreign.name))
        return _adapted(_build_foreign(foreign, state, name, quick_gelu, image_size, vision), lora, options)
    stride = RESNET_STRIDE if wanted is None else wanted.vision_stride
    told = options.arch
    heads = (None, None) if told is None else (told.vision_head_width, told.transformer_heads)
    found = architecture_of(state, name, *heads, stride)
    if wanted is None:
        wanted = found
        if told is None:
            _logger.warning(
                '%s does not say how many attention heads it has: assuming those of published models, %d in the image '
                'and %d in the text tower; an arch, or open_clip_config.json beside the file, would tell',
                name,
                found.vision_heads,
                found.transformer_heads,
            )
    else:
        _check_same(wanted, found, name, options)
    if quick_gelu is None:
        quick_gelu = options.quick_gelu
    if quick_gelu is None:
        quick_gelu = True
        _logger.warning(
            "%s does not say its activation: assuming OpenAI's QuickGELU; for models trained with GELU, such as "
            "LAION's, set quick_gelu=False (--cfg-options model.clip.quick_gelu=False)",
            name,
        )
    with torch.device('meta'):
        model = CLIP(wanted, quick_gelu, image_size, vision)
    source = ClipSource(name, state_sha256(state))
    mode = model.visual.attnpool.interpolation if not wanted.is_vit else model.visual.interpolation
    mode = 'bilinear' if mode == 'crop' else mode  # which is for images; here the grid may grow
    state = resize_image_positions(state, wanted.grid_size, model.visual.grid_size, mode)
    _load(model, state, name)
    model.source = source
    return _adapted(model, lora, options)


def _build_foreign(
    arch: OpenClipArchitecture,
    state: dict[str, Tensor],
    name: str,
    quick_gelu: bool | None,
    image_size: int | tuple[int, int] | None,
    vision: Mapping[str, Any] | None,
) -> CLIP:
    """A CLIP whose image tower is timm's, with weights; the position embeddings are resized afterwards."""
    from open_clip.convert import convert_state_dict

    model = CLIP(arch, quick_gelu, None, vision)
    converted = to_internal_names(convert_state_dict(model, state))  # Apple's names of MobileCLIP, else as it is
    for key in ('logit_scale', 'logit_bias'):
        if key in converted:
            converted[key] = converted[key].reshape(())
    _load(model, converted, name)
    model.source = ClipSource(name, state_sha256(converted))
    if image_size is not None:
        model.visual.resize(image_size)
    return model


def _same_config(
    wanted: Architecture | OpenClipArchitecture | None, options: WeightOptions, name: str
) -> OpenClipArchitecture:
    """The architecture of towers of open_clip, where the one that is asked for is not another than that of the file.

    Its tokenizer is the one beside the file, if there is one.
    """
    told = options.arch
    if told is None:
        return replace(wanted, tokenizer=options.tokenizer or wanted.tokenizer)
    if wanted is not None:
        same_kind = isinstance(wanted, OpenClipArchitecture) and isinstance(told, OpenClipArchitecture)
        field = wanted.first_difference(told) if same_kind else 'vision_cfg.timm_model_name'
        if field is not None:
            raise ValueError(
                f'{name}: {options.source} describes another model than arch {wanted.name!r} ({field}): leave arch out '
                '(arch=None)'
            )
    return told


def _adapted(model: CLIP, lora: Mapping[str, Any] | None, options: WeightOptions | None = None) -> CLIP:
    """The model in eval mode, with low-rank branches if there are options for them."""
    if options is not None:
        model.preprocessing = options.preprocessing
    if lora is not None and not isinstance(model.arch, Architecture):
        raise ValueError(
            f'clip.lora: {model.arch.name} has {model.arch.described}, whose blocks take no low-rank branches'
        )
    if lora is not None:
        model.lora = LoraOptions.read(lora)
        add_lora(model, model.lora)
    return model.eval()


def _read(
    arch: str | Mapping | Architecture | None, wanted: Architecture | None, weights: str | Path
) -> tuple[dict[str, Tensor], str, WeightOptions]:
    """State dict in internal names, its name, and what its shapes do not tell."""
    if weights in BUILTIN_WEIGHTS:
        if wanted is None:
            raise ValueError(f'weights={weights!r} are shipped by architecture: also give arch')
        name = f'{wanted.name}:{weights}'
        return read_builtin(wanted.name, weights), name, WeightOptions(name, quick_gelu=True)
    named_quick = isinstance(arch, str) and arch.lower().endswith(QUICK_GELU_SUFFIX)
    path, name = Path(weights).expanduser(), None
    if str(weights).startswith(HUB):
        path, name = _download(str(weights).removeprefix(HUB), *WEIGHT_FILES), str(weights)
    elif _is_folder(weights):
        path, name = file_in_folder(path), f'file:{path.resolve().name}'
    if name or path.is_file() or path.name.endswith(FILE_SUFFIXES) or isinstance(weights, Path):
        tensors, options = read_weights(path)
        state = to_internal_names(tensors)
        if named_quick and options.quick_gelu is False:
            raise ValueError(f'arch {arch!r} has QuickGELU, but {options.source} says GELU: drop {QUICK_GELU_SUFFIX!r}')
        name = name or f'file:{path.name}'
        return state, name, replace(options, quick_gelu=True) if named_quick else options
    if wanted is None:
        raise ValueError(
            f'weights={weights!r} is neither a file nor a folder; to use it as a tag of open_clip, also give arch'
        )
    path, quick_gelu = download(open_clip_name(wanted.name) + QUICK_GELU_SUFFIX * named_quick, weights)
    name = f'{wanted.name}:{weights}'
    options = WeightOptions(name, quick_gelu, preprocessing=preprocessing_of(arch, weights))
    return to_internal_names(read_state_dict(path)), name, options


def download(model_name: str, tag: str) -> tuple[Path, bool]:
    """Weight file of an open_clip tag, from open_clip's cache or by download.

    Args:
        model_name: open_clip's name of the architecture.
        tag: open_clip's tag of the weights.

    Returns:
        Path of the file, and whether the weights were trained with QuickGELU.

    Raises:
        ValueError: open_clip has no such tag for this architecture; the message lists its tags.
        DownloadError: the download failed; the message says which file to fetch and how to use it.
    """
    from open_clip import pretrained

    config = pretrained.get_pretrained_cfg(model_name, tag)
    if not config:
        tags = ', '.join(pretrained.list_pretrained_tags_by_model(model_name))
        tags = tags or f'none (built in: {", ".join(map(repr, BUILTIN_WEIGHTS))})'
        raise ValueError(f'{tag!r} is neither a file nor a tag that open_clip has for {model_name}; its tags: {tags}')
    quick_gelu = bool(config.get('quick_gelu', False))
    try:
        return open_clip_file(config), quick_gelu
    except (OSError, RuntimeError) as error:
        places, options = _places(config), dict(weights='/path/to/file', quick_gelu=quick_gelu)
        if config.get('hf_hub') and Preprocessing.read(config) != Preprocessing():
            places = f'all files of https://huggingface.co/{config["hf_hub"].rpartition("/")[0]} into one folder'
            options = dict(arch=None, weights='/path/to/folder')
        raise DownloadError(f'the weights {tag!r} of {model_name}', places, options, tag, error) from error


def preprocessing_of(arch: str | Mapping | None, weights: str | Path | None) -> Preprocessing:
    """How images were prepared when weights were trained; CLIP's way where they do not tell.

    Args:
        arch: as for :func:`build_clip`.
        weights: likewise.  Tensors are not read, so a file or folder need not have any yet.

    Raises:
        ValueError: a way that is not known, such as padding, or an ``open_clip_config.json`` that is none.
        DownloadError: a repository of huggingface.co that is neither cached nor can be fetched.
    """
    if weights is None or weights in BUILTIN_WEIGHTS or weights == 'openai':
        return Preprocessing()
    options = _options_beside(weights)
    if options is not None and options.preprocessing is not None:
        return options.preprocessing
    found = None if arch is None else find_architecture(arch)
    if options is not None and not isinstance(found, OpenClipArchitecture):
        return Preprocessing()
    if options is None:
        from open_clip import pretrained

        name = '' if found is None else open_clip_name(found.name)
        return Preprocessing.read(pretrained.get_pretrained_cfg(name, str(weights)))
    way = _way_of_all_tags(found.name)
    if way is None:
        raise ValueError(
            f'{weights} does not say how images were prepared for it, and published weights of {found.name} do not '
            f'either: put its {OPTIONS_FILE} beside it, or set mean, std, interpolation and resize_mode in the config'
        )
    return way


def _way_of_all_tags(name: str) -> Preprocessing | None:
    """How images were prepared for all weights that open_clip has of an architecture; None: for none, or not alike."""
    from open_clip import pretrained

    tags = pretrained.list_pretrained_tags_by_model(open_clip_name(name))
    ways = {Preprocessing.read(pretrained.get_pretrained_cfg(open_clip_name(name), tag)) for tag in tags}
    return ways.pop() if len(ways) == 1 else None


def weights_architecture(weights: str | Path | None) -> Architecture | OpenClipArchitecture | None:
    """The architecture that ``open_clip_config.json`` beside weights tells, without reading them; None without one.

    Raises:
        ValueError, DownloadError: as for :func:`preprocessing_of`.
    """
    options = None if weights is None or weights in BUILTIN_WEIGHTS else _options_beside(weights)
    return None if options is None else options.arch


def _options_beside(weights: str | Path) -> WeightOptions | None:
    """What is known of weights in a file, a folder or a repository; None for a tag of open_clip."""
    path = Path(weights).expanduser()
    if str(weights).startswith(HUB):
        path = _download(str(weights).removeprefix(HUB), OPTIONS_FILE).with_name(WEIGHT_FILES[0])
    elif _is_folder(weights):
        path = path / WEIGHT_FILES[0]
    return read_options(path) if path.name.endswith(FILE_SUFFIXES) or path.is_file() else None


def _is_folder(weights: str | Path) -> bool:
    """Whether weights are those of a folder, and not a tag beside a folder of its name."""
    path = Path(weights).expanduser()
    return path.is_dir() and (isinstance(weights, Path) or '/' in str(weights) or (path / OPTIONS_FILE).is_file())


def _download(repository: str, *files: str) -> Path:
    """The first of some files of a repository of huggingface.co in open_clip's form, with its options beside it.

    Raises:
        DownloadError: they are neither cached nor can be fetched.
    """
    if not re.fullmatch(r'[\w.-]+/[\w.-]+', repository):
        raise ValueError(f'weights={HUB + repository!r} must name a repository: {HUB}ORG/NAME')
    try:
        return hub_folder_file(repository, OPTIONS_FILE, *files)
    except (OSError, RuntimeError) as error:
        files = f'{OPTIONS_FILE} and {" or ".join(WEIGHT_FILES)}'
        places = f'{files} of https://huggingface.co/{repository} into one folder'
        options = dict(weights='/path/to/folder')
        raise DownloadError(f'the weights of {repository}', places, options, HUB + repository, error) from error


def _places(config: Mapping[str, Any]) -> str:
    """URLs from which the file of an open_clip entry can be fetched manually."""
    places = [config['url']] if config.get('url') else []
    if config.get('hf_hub'):
        repository, _, file = config['hf_hub'].rpartition('/')
        file = file or 'open_clip_model.safetensors or open_clip_pytorch_model.bin'
        places.append(f'{file} of https://huggingface.co/{repository}')
    return ', or '.join(places)


def _check_same(wanted: Architecture, found: Architecture, name: str, options: WeightOptions) -> None:
    """Raise if the weights are of another architecture; heads are compared where the options of the file name them."""
    unknown = {} if options.arch else {f: getattr(wanted, f) for f in ('vision_head_width', 'transformer_heads')}
    field = wanted.first_difference(replace(found, **unknown))
    if field is not None:
        raise ValueError(
            f'{name}: the weights have {field}={getattr(found, field)!r}, but arch {wanted.name!r} has '
            f'{field}={getattr(wanted, field)!r}'
        )


def _load(model: CLIP, state: dict[str, Tensor], name: str) -> None:
    """Assign the tensors to a model built on the meta device; all must match."""
    for key in model.state_dict():
        if key.endswith('num_batches_tracked'):
            state.setdefault(key, torch.tensor(0))
    try:
        result = model.load_state_dict(state, strict=False, assign=True)
    except RuntimeError as error:  # shapes
        line = str(error).split('\n\t')[1:2] or [str(error)]
        raise ValueError(f'{name} does not fit arch {model.arch.name!r}: {line[0]}') from error
    if result.missing_keys or result.unexpected_keys:
        raise ValueError(
            f'{name}: missing entries {result.missing_keys[:5]}, unknown entries {result.unexpected_keys[:5]} '
            f'({len(result.missing_keys)} and {len(result.unexpected_keys)} in all)'
        )
