"""Checkpoints of prompt-tuned models: the learned tensors and a description of the base weights.

A checkpoint (``epoch_N.pth``) is ``dict(meta=..., state_dict=...)``. The state dict holds the tensors of
``model.trained_state_dict()`` only, kilobytes for a prompt; ``meta['vlprompt']`` describes the model::

    dict(base=dict(name, sha256) or None,   # weights of the frozen towers, None if they were random
         class_names=[...] or None, trained_keys=[...], model='TextClassifier',
         data_arguments=dict(...),              # number of identities and the like, for models that need it
         local='native' or ... or None,         # form of the local features, for models that read them
         geometry=dict(grid, stride) or None,   # of the patches, for models of one image size
         fit=dict(solver, tune, ...) or None,   # how a solver was fitted
         cache=dict(classes, width),            # of a converted cache of Tip-Adapter alone
         lora_scale=0.7071 or ... or None,      # of low-rank branches, which their tensors do not tell
         recipe=dict(dataset, shots))           # which rows of the config's recipes it was trained by, if it has any

A converted checkpoint has no ``base``; its ``not_needed`` are tensors of a tower that it lacks and no one reads.

The same content can stand in a folder without pickle, see :mod:`vlprompt.engine.adapters`.

Everything needed to resume training is in a separate file, :data:`RESUME_FILE`.  Models without a
``trained_state_dict`` method (plain mmseg or mmdet ones) are stored whole.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isclose
from pathlib import Path
from typing import Any

from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import Size, Tensor, nn

from vlprompt.clip.architectures import describe_image_tower
from vlprompt.clip.tensor_files import ScriptTensors, describe_content, named_tensors, read_tensors, require_finite
from vlprompt.engine.adapters import is_adapter, read_adapter_source
from vlprompt.engine.config_values import is_recipe
from vlprompt.engine.data_arguments import arguments_of_model
from vlprompt.engine.sharded import class_of, is_sharded, stored
from vlprompt.errors import CheckpointError
from vlprompt.messages import did_you_mean, enumerate_names

RESUME_FILE = 'resume.pth'
"""Name of the file in a work directory from which training resumes."""

LISTED = 20
"""Number of problems that a message about a checkpoint lists; the others are counted."""


# ------------------------------------------------------------------------------------------------------------ reading


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a torch file, or the folder of an adapter, onto the CPU without running any code it carries.

    Args:
        path: a local file, any address mmengine's file backends understand (``http://...``), or an adapter: its folder,
            ``'builtin:NAME'`` or ``'hf-hub:ORG/NAME'``.

    Returns:
        The dictionary in the file.  Objects of foreign classes, such as a pickled scheduler, are replaced by
        :class:`~vlprompt.clip.inert_pickle.InertObject`.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: the file is empty, broken, a TorchScript archive, or does not hold a dictionary.
    """
    path = str(path)
    if is_adapter(path):
        content = read_adapter_source(path)
    elif '://' in path:
        with get_local_path(path) as local:
            try:
                content = read_tensors(local)
            except CheckpointError as error:
                raise CheckpointError(str(error).replace(str(local), path)) from error
    else:
        require_checkpoint_file(path)
        content = read_tensors(path, 'checkpoint')
    if isinstance(content, ScriptTensors):
        raise CheckpointError(
            f'{path} is a TorchScript archive, as OpenAI publishes CLIP: it holds base weights, not a checkpoint. '
            "Give it as the towers' weights: --cfg-options model.clip.weights=" + path
        )
    if not isinstance(content, Mapping):
        raise CheckpointError(f'{path} holds {describe_content(content)}; expected a dictionary with a state_dict')
    _check_description(content, path)
    return dict(content)


def require_checkpoint_file(path: str | Path) -> None:
    """Raise a FileNotFoundError if there is no such file; it names the newest checkpoints in its folder, or, if there
    are none, those of the phases in it.
    """
    path = Path(path).expanduser()
    if path.exists():
        return
    message = f'checkpoint {path} does not exist (working directory: {Path.cwd()})'
    for pattern in ('*.pth', '*/*.pth'):
        found = [file for file in path.parent.glob(pattern) if file.is_file() and file.name != RESUME_FILE]
        if found:
            found.sort(key=lambda file: file.stat().st_mtime_ns, reverse=True)
            names = enumerate_names((str(file.relative_to(path.parent)) for file in found), 5)
            raise FileNotFoundError(f'{message}; {path.parent} holds {names}')
    raise FileNotFoundError(message)


_DESCRIPTION = dict(
    base=(Mapping, 'a dictionary with name and sha256'),
    cache=(Mapping, 'a dictionary with classes and width'),
    class_names=((list, tuple), 'a list of names'),
    data_arguments=(Mapping, 'a dictionary'),
    fit=(Mapping, 'a dictionary'),
    geometry=(Mapping, 'a dictionary with grid and stride'),
    local=((str, Mapping), 'a name or a dictionary'),
    lora_scale=((int, float), 'a number'),
    not_needed=((list, tuple), 'a list of names'),
)


def _check_description(content: Mapping[str, Any], path: str) -> None:
    """Raise CheckpointError if ``meta`` is not what this package, or mmengine, writes."""
    meta = content.get('meta') or {}
    if not isinstance(meta, Mapping):
        raise CheckpointError(f'{path}: meta is {describe_content(meta)}, not a dictionary')
    about = meta.get('vlprompt') or {}
    if not isinstance(about, Mapping):
        raise CheckpointError(f"{path}: meta['vlprompt'] is {describe_content(about)}, not a dictionary")
    for name, (kind, words) in _DESCRIPTION.items():
        if not isinstance(about.get(name), (kind, type(None))):
            raise CheckpointError(f"{path}: meta['vlprompt'][{name!r}] is {describe_content(about[name])}, not {words}")
    names, base = about.get('class_names'), about.get('base')
    if not all(isinstance(name, str) for name in names or ()):
        raise CheckpointError(f"{path}: a name in meta['vlprompt']['class_names'] is no text")
    if base is not None and not all(isinstance(base.get(key), str) for key in ('name', 'sha256')):
        raise CheckpointError(f"{path}: meta['vlprompt']['base'] must have name and sha256")


# ----------------------------------------------------------------------------------------------------- compatibility


@contextmanager
def naming_checkpoint(path: str | Path) -> Iterator[None]:
    """A CheckpointError raised inside names the file."""
    try:
        yield
    except CheckpointError as error:
        raise (error if str(path) in str(error) else CheckpointError(f'{path}: {error}')) from error.__cause__


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Tensors that a checkpoint of ``model`` must hold: detached, on the CPU, each with storage of its own size.

    Of a sharded model all processes must call this, and only the first has the values
    (:func:`~vlprompt.engine.sharded.stored`).
    """
    if is_sharded(model):
        return {name: stored(tensor).clone() for name, tensor in _saved_tensors(model).items()}
    return {name: tensor.detach().cpu().clone() for name, tensor in _saved_tensors(model).items()}


def tensor_shapes(model: nn.Module) -> dict[str, Size]:
    """Shapes of the tensors that checkpoints of ``model`` hold, by name."""
    return {name: tensor.shape for name, tensor in _saved_tensors(model).items()}


def _saved_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of ``model`` that its checkpoints hold, not copied."""
    return model.trained_state_dict() if hasattr(model, 'trained_state_dict') else model.state_dict()


def describe_model(model: nn.Module) -> dict[str, Any]:
    """The ``meta['vlprompt']`` entry of a model, see the module's docstring."""
    source = getattr(model, 'base_source', None)
    names = getattr(model, 'class_names', None)
    return dict(
        base=None if source is None else dict(name=source.name, sha256=source.sha256),
        class_names=None if names is None else list(names),
        trained_keys=list(_saved_tensors(model)),
        model=class_of(model).__name__,
        data_arguments=arguments_of_model(model),
        local=getattr(model, 'local_form', None),
        geometry=getattr(model, 'geometry', None),
        fit=getattr(model, 'fit_report', None),
        lora_scale=getattr(model, 'lora_scale', None),
    )


def recipe_of(cfg: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entry of a composed config in ``meta['vlprompt']``; empty for one without recipes."""
    recipe = None if cfg is None else cfg.get('recipe')
    return {} if recipe is None else dict(recipe=dict(recipe))


def recipe_of_checkpoint(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """``dataset`` and ``shots`` of the recipe that a checkpoint was trained by; None if it does not say.

    Raises:
        CheckpointError: the entry is something else.
    """
    recipe = ((content.get('meta') or {}).get('vlprompt') or {}).get('recipe')
    if recipe is None:
        return None
    if not is_recipe(recipe):
        raise CheckpointError(f"the checkpoint's meta['vlprompt']['recipe'] is no dataset and shots, but {recipe!r}")
    return dict(dataset=recipe['dataset'], shots=recipe['shots'])


def load_trained(model: nn.Module, checkpoint: Mapping[str, Any], *, other_classes: bool = False) -> None:
    """Load learned tensors into a model built on the same base weights.

    Args:
        model: has ``trained_state_dict()``; optionally ``base_source``, ``class_names``, ``class_tensors``, and
            ``meet_checkpoint(state, about)`` to make room for tensors whose sizes follow from the data; it may return
            names of tensors that the checkpoint may lack.
        checkpoint: as :func:`read_checkpoint` returns it.
        other_classes: accept a checkpoint trained on other classes, as base-to-new and cross-dataset evaluation
            do.  Tensors that depend on the classes must still fit, except for the model's ``class_tensors``, which
            then keep their values.

    Raises:
        CheckpointError: other base weights, other classes, missing, unexpected or wrongly shaped tensors.

    A checkpoint whose meta lacks the description, or its ``base`` (a converted one), is loaded with a logged note.
    """
    state = checkpoint.get('state_dict')
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f'no "state_dict" in the checkpoint, which holds {enumerate_names(checkpoint) or "nothing"}'
        )
    state = named_tensors(state, 'the checkpoint')
    about = (checkpoint.get('meta') or {}).get('vlprompt')
    if not set(model.state_dict()) <= set(state):  # otherwise no base weights are left
        check_base(model, checkpoint)
    if about is not None and not other_classes:
        _check_classes(model, about)
    _compare_local(model, about)
    _check_lora(model, about)
    may_lack = model.meet_checkpoint(state, about or {}) if hasattr(model, 'meet_checkpoint') else None
    required = set(model.trained_state_dict()) - (may_lack or set())
    if other_classes:
        left_out = _without_class_tensors(model, state)
        required -= left_out
        state = {name: tensor for name, tensor in state.items() if name not in left_out}
    converted = about is not None and 'base' not in about
    # A converted checkpoint may hold no towers, and then cannot fill in those of a model built on random ones.
    if (
        converted
        and describe_model(model)['base'] is None
        and (towers := _absent_towers(model, required, state) | required.intersection(about.get('not_needed') or ()))
    ):
        message = f'The towers keep their random weights: set {_base_option(model)}.'
        print_log(message, 'current', logging.WARNING)
        required -= towers
    _check_tensors(model, state, required, _geometry_hint(model, about) + _origin_hint(checkpoint))
    unset = getattr(model, 'unset_tensors', ())
    require_finite(state, (name for name in state if name not in unset), 'the checkpoint')
    model.load_state_dict(state, strict=False)


def _absent_towers(model: nn.Module, required: set[str], state: Mapping[str, Tensor]) -> set[str]:
    """Frozen tensors of those towers of which ``state`` has nothing at all; part of a tower is no tower."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    prefixes = getattr(model, 'base_prefixes', ('clip.',))

    def tower(name: str) -> str | None:
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        towers_inside = prefix == 'clip.'  # visual, text and the scale of the logits
        return f'{prefix}{name.removeprefix(prefix).split(".")[0]}' if towers_inside else prefix

    present = {tower(name) for name in state}
    return {n for n in required - trained - set(state) if tower(n) is not None and tower(n) not in present}


def load_whole(model: nn.Module, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
    """Load a model without ``trained_state_dict``, one of mmseg or mmdet, as mmengine does.

    Args:
        model: the model.
        checkpoint: as :func:`read_checkpoint` returns it.
        strict: every tensor must fit; otherwise those that do not are logged and keep their values.

    Raises:
        CheckpointError: a tensor that does not fit, with ``strict``.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping):
        raise CheckpointError(f'the state_dict of the checkpoint is {describe_content(state)}')
    tensors = named_tensors(state, 'the checkpoint')
    require_finite(tensors, tensors, 'the checkpoint')
    try:
        _load_checkpoint_to_model(model, dict(checkpoint), strict)
    except RuntimeError as error:
        text = f'the checkpoint does not fit {type(model).__name__}: {_other_tower(model, tensors)}{error}'
        raise CheckpointError(text) from error


def _without_class_tensors(model: nn.Module, state: Mapping[str, Tensor]) -> set[str]:
    """Names of the model's ``class_tensors``, e.g. classifiers, that the checkpoint lacks or has for other classes."""
    known = model.state_dict()
    names = {
        name
        for name in getattr(model, 'class_tensors', ())
        if (known[name].shape if name in known else None) != (state[name].shape if name in state else None)
    }
    if names:
        print_log(f'Not loaded, since they belong to other classes: {", ".join(sorted(names))}', logger='current')
    return names


def check_base(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Raise if a checkpoint was trained on other base weights than the model's; log if it does not name any.

    Raises:
        CheckpointError: other base weights.
    """
    about = (checkpoint.get('meta') or {}).get('vlprompt')
    if about is None:
        print_log('The checkpoint does not say which base weights and classes it was trained with.', logger='current')
        return
    if 'base' not in about:
        print_log('The checkpoint does not name its base weights, assuming they match.', logger='current')
        return
    trained_on, built_on = about['base'], describe_model(model)['base']
    if (trained_on or {}).get('sha256') != (built_on or {}).get('sha256'):
        raise CheckpointError(
            f'the checkpoint was trained on {_spell_base(trained_on)}, but the model was built on '
            f'{_spell_base(built_on)}. Set {_base_option(model)} to the former, or use the config it was trained with.'
        )


def _base_option(model: nn.Module) -> str:
    """The config key that names the base weights."""
    return getattr(model, 'base_option', 'model.clip.weights')


def _spell_base(base: Mapping[str, str] | None) -> str:
    return 'random base weights' if base is None else f'{base["name"]} (sha256 {base["sha256"][:12]})'


def _check_classes(model: nn.Module, about: Mapping[str, Any]) -> None:
    theirs, ours = about.get('class_names'), getattr(model, 'class_names', None)
    if theirs is None or ours is None or list(theirs) == list(ours):
        return
    only_theirs = [name for name in theirs if name not in set(ours)]
    only_ours = [name for name in ours if name not in set(theirs)]
    if only_theirs or only_ours:
        what = '; '.join(
            f'only in the {where}: {enumerate_names(names)}'
            for where, names in (('checkpoint', only_theirs), ('model', only_ours))
            if names
        )
    else:
        first = next(i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b)
        what = f'same names in another order, first at class {first}: {theirs[first]!r} against {ours[first]!r}'
    raise CheckpointError(
        f'the checkpoint was trained on {len(theirs)} classes, the model has {len(ours)} ({what}). '
        'Set model.class_names, or classes=[...] of the data that they follow, to those of the checkpoint, or, to '
        'evaluate the prompts on other classes (base-to-new, cross-dataset), set other_classes=True in the config or '
        'pass --other-classes to vlprompt test.'
    )


def _compare_local(model: nn.Module, about: Mapping[str, Any] | None) -> None:
    """Warn if what was learned met another form of local features than the model's; the tensors fit all the same."""
    theirs, ours = (about or {}).get('local'), getattr(model, 'local_form', None)
    if theirs is not None and ours is not None and theirs != ours:
        option = f'{_base_option(model).removesuffix("weights")}vision.local'
        print_log(
            f'The checkpoint was trained on local features of the form {theirs!r}, the model has {ours!r}: set '
            f'{option} unless this is meant.',
            'current',
            logging.WARNING,
        )


def _check_lora(model: nn.Module, about: Mapping[str, Any] | None) -> None:
    """Raise if low-rank branches were trained under another scale than the model's."""
    theirs, ours = (about or {}).get('lora_scale'), getattr(model, 'lora_scale', None)
    if theirs is not None and ours is not None and not isclose(theirs, ours, rel_tol=1e-6):
        raise CheckpointError(
            f'the checkpoint was trained with low-rank branches multiplied by {theirs:.6g}, the model multiplies them '
            f'by {ours:.6g}: set alpha and scaling in {_base_option(model).removesuffix("weights")}lora'
        )


def _geometry_hint(model: nn.Module, about: Mapping[str, Any] | None) -> str:
    theirs, ours = (about or {}).get('geometry'), getattr(model, 'geometry', None)
    if theirs is None or ours is None or theirs == ours:
        return ''
    return (
        f'\n  The checkpoint has a grid of {theirs["grid"]} patches with stride {theirs["stride"]}, the model one of '
        f'{ours["grid"]} with stride {ours["stride"]}: set model.clip.image_size and model.clip.vision.patch_stride.'
    )


def _origin_hint(checkpoint: Mapping[str, Any]) -> str:
    name = (checkpoint.get('meta') or {}).get('experiment_name')
    return f'\n  The checkpoint comes from the run {name}.' if name else ''


def _check_tensors(model: nn.Module, state: Mapping[str, Tensor], required: set[str], hint: str = '') -> None:
    """Raise unless every required tensor is present and every tensor has a place; ``hint`` ends the message.

    Copies of base weights are accepted: converted checkpoints of models with trained towers contain them.
    """
    known = model.state_dict()
    problems = [f'missing {n} {tuple(t.shape)}' for n, t in known.items() if n in required and n not in state]
    unexpected = [name for name in state if name not in known]
    problems += [f'unexpected {name}.{did_you_mean(name, required)}' for name in unexpected[:LISTED]]
    problems += [f'unexpected {name}' for name in unexpected[LISTED:]]
    problems += [
        f'{name} has shape {tuple(state[name].shape)}, the model needs {tuple(known[name].shape)}'
        for name in known
        if name in state and state[name].shape != known[name].shape
    ]
    if problems:
        more = f'\n  and {len(problems) - LISTED} more' if len(problems) > LISTED else ''
        raise CheckpointError(
            f'the checkpoint does not fit {type(model).__name__}: {_other_tower(model, state)}\n  '
            + '\n  '.join(problems[:LISTED])
            + more
            + hint
        )


def _other_tower(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """A sentence about an image tower of another architecture than the model's, or nothing."""
    theirs, ours = describe_image_tower(state), describe_image_tower(model.state_dict())
    return '' if None in (theirs, ours) or theirs == ours else f'it holds {theirs}, the config builds {ours}'
