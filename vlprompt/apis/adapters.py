"""Trained adapters as folders: write them, load them, share them on huggingface.co.

A folder (:mod:`vlprompt.engine.adapters`) holds what a checkpoint holds, without pickle, and the config that it was
trained with, so that it loads by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vlprompt.apis.model import init_model
from vlprompt.clip.download import require_hub
from vlprompt.engine.adapters import HUB, is_adapter, write_folder
from vlprompt.engine.adapters.card import write_card
from vlprompt.engine.adapters.folder import CARD, CONFIG
from vlprompt.engine.checkpoint import describe_model, recipe_of, trained_state
from vlprompt.engine.writing import to_plain_values
from vlprompt.errors import CheckpointError, ConfigError, RunError
from vlprompt.version import __version__


def save_pretrained(
    model: nn.Module,
    folder: str | Path,
    *,
    content: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    half: bool = False,
    name: str | None = None,
    licence: str | None = None,
    notes: str | None = None,
) -> Path:
    """Write what a model has learned into a folder, with its description and a card.

    Low-rank branches are written under the names of peft, if nothing else was trained: peft's ``PeftModel`` loads the
    folder onto open_clip's model of the same weights.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it, or one built from Python, whose folder then holds no
            config.
        folder: is created; an adapter in it is replaced, with its card.
        content: the checkpoint that was loaded into the model, to be written as it is, with seed, epoch and whatever
            else it records; None: what the model holds now.
        metrics: figures of a test, as in ``test_metrics.json``.
        half: store fp16, half of the size, with a loss of digits.
        name: for the card; None: that of the folder.
        licence: identifier of the hub, such as ``'apache-2.0'``, for the card.
        notes: a paragraph for the card.

    Returns:
        The folder.

    Raises:
        CheckpointError: something of the model is NaN or infinite, or ``content`` does not describe itself.
        ConfigError: the folder has a README.md that is no card of an adapter.
    """
    folder = Path(folder)
    if (folder / CARD).exists() and not (folder / CONFIG).exists():
        raise ConfigError(
            f'{folder / CARD} is no card of an adapter, and would be replaced by one: give another folder'
        )
    content = _content_of(model) if content is None else content
    config, size = write_folder(
        content,
        folder,
        half,
        task=task_type(model),
        templates=templates_of(model),
        preprocess=preprocess_of(model),
        metrics=None if metrics is None else dict(metrics),
    )
    write_card(folder, config, size, name, licence, notes)
    return folder


def from_pretrained(
    source: str | Path, device: str | torch.device = 'cpu', cfg_options: dict | None = None, **options: Any
) -> nn.Module:
    """The model of an adapter, ready for inference.

    Args:
        source: a folder, ``'hf-hub:ORG/NAME'`` or ``'builtin:NAME'``.
        device: of the model.
        cfg_options: dotted keys to override in its config, such as ``{'model.clip.weights': 'ViT-B-16.pt'}``.
        **options: further arguments of :func:`~vlprompt.apis.init_model`.

    Raises:
        CheckpointError: no adapter, a damaged one, or one of other base weights.
        DownloadError: a repository that is neither cached nor can be fetched.
    """
    if not is_adapter(source):
        raise CheckpointError(f'{source} is no adapter: expected a folder with adapter_config.json, or {HUB}ORG/NAME')
    return init_model(source, cfg_options=cfg_options, device=device, **options)


def push_to_hub(model: nn.Module, repo_id: str, *, private: bool = False, **options: Any) -> str:
    """Upload a model's adapter to huggingface.co, with the login of ``hf auth login`` or ``HF_TOKEN``.

    Args:
        model: as of :func:`save_pretrained`.
        repo_id: ``'ORG/NAME'``; is created.
        private: make it so, if it is new.
        **options: further arguments of :func:`save_pretrained`.

    Returns:
        The address of the repository; :func:`from_pretrained` takes ``'hf-hub:ORG/NAME'``.

    Raises:
        Exception: as for :func:`upload`.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, **dict(name=f'{HUB}{repo_id}') | options)
        return upload(folder, repo_id, private)


def upload(folder: str | Path, repo_id: str, private: bool = False) -> str:
    """Upload the folder of an adapter, see :func:`push_to_hub`.

    Raises:
        ConfigError: a name that is not ``ORG/NAME``.
        RunError: no network, no login, or no right to write there.
    """
    if repo_id.startswith(HUB) or repo_id.count('/') != 1:
        raise ConfigError(f'{repo_id!r} is no name of a repository: ORG/NAME')
    from huggingface_hub import HfApi

    hub = HfApi(library_name='vlprompt', library_version=__version__)
    try:
        require_hub()
        address = hub.create_repo(repo_id, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repo_id, folder_path=folder, commit_message='Upload adapter of vlprompt')
    except (OSError, ValueError) as error:  # of huggingface_hub
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(
            f'{repo_id} cannot be written on huggingface.co ({reason}): log in with a token that may write '
            '(hf auth login, or HF_TOKEN), and upload the folder again'
        ) from error
    return str(address)


def _content_of(model: nn.Module) -> dict[str, Any]:
    """A checkpoint of a model that is not in training."""
    cfg = getattr(model, 'cfg', None)
    meta = {key: value for key, value in (getattr(model, 'dataset_meta', None) or {}).items() if key != 'classes'}
    about = describe_model(model) | recipe_of(cfg)
    if about['class_names'] is None and (getattr(model, 'dataset_meta', None) or {}).get('classes'):
        meta['classes'] = model.dataset_meta['classes']  # of models that do not keep the names themselves
    described = dict(vlprompt_version=__version__, dataset_meta=meta, vlprompt=about)
    if cfg is not None:
        described['cfg'] = cfg.pretty_text
    return dict(meta=to_plain_values(described), state_dict=trained_state(model))


# ------------------------------------------------------------------------------------------- what a folder says besides


def task_type(model: nn.Module) -> str | None:
    """A key of :data:`~vlprompt.engine.adapters.card.PIPELINE_TAGS`; None for a model of no known task."""
    bases = {base.__name__ for base in type(model).__mro__}
    if 'BaseSegmentor' in bases:
        return 'IMAGE_SEGMENTATION'
    if 'BaseDetector' in bases:
        return 'OBJECT_DETECTION'
    if 'Classifier' in bases:
        return 'ZERO_SHOT_IMAGE_CLASSIFICATION' if model.open_vocabulary else 'IMAGE_CLASSIFICATION'
    return 'FEATURE_EXTRACTION' if {'ReIdentifier', 'IdentityPromptLearner'} & bases else None


def templates_of(model: nn.Module) -> list[str] | None:
    """Hand-written templates of the class names; None of a model without."""
    templates = getattr(getattr(model, 'prompt', None), 'templates', None)
    return None if templates is None else list(templates)


def preprocess_of(model: nn.Module) -> dict[str, Any] | None:
    """``mean`` and ``std`` of the pixels as the model has them, and ``steps``, the test pipeline of its config."""
    pixels = getattr(model, 'data_preprocessor', None)
    steps = (((getattr(model, 'cfg', None) or {}).get('test_dataloader') or {}).get('dataset') or {}).get('pipeline')
    found: dict[str, Any] = {}
    for key in ('mean', 'std'):
        if (values := getattr(pixels, key, None)) is not None:
            found[key] = [round(float(value), 6) for value in values.flatten()]
    if steps:
        found['steps'] = [dict(step) for step in steps]
    return found or None
