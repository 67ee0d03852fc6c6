"""Recognise broken installations and say what to install, instead of failing with an error about operators.

Uses only the standard library until the installation is known to work, so the tools can call
:func:`check_environment` before other imports.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version

from vlprompt.compat.mmcv_ops import compiled_ops, ensure_mmcv_ops, ops_in_use
from vlprompt.errors import EnvironmentProblem

# Two distributions that install the same import package; the maintained one first.
FAMILIES = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-full', 'mmcv-lite'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
}
REPORTED = ('vlprompt', 'torch', 'torchvision', 'open_clip_torch', 'timm', 'numpy', 'pillow')


def check_environment() -> None:
    """Raise if the installed packages are known to be incompatible.

    Raises:
        EnvironmentProblem: both families of mm packages at once, a torch/torchvision pair that does not match,
            compiled mmcv ops that cannot be loaded, or mmdet imported before its ops could be provided.
    """
    check_mm_families()
    check_torch_pair()
    ensure_mmcv_ops()  # again: beside a checkout, Python may take its folder for the package and skip __init__.py
    check_mmcv_ops()


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, None if it is absent."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def check_mm_families(lookup: Callable[[str], str | None] = installed_version) -> None:
    """Raise if two distributions provide the same import package: their files overwrite each other."""
    clashes = {name: [d for d in dists if lookup(d)] for name, dists in FAMILIES.items()}
    clashes = {name: dists for name, dists in clashes.items() if len(dists) > 1}
    if clashes:
        what = '; '.join(f'{name}: {" and ".join(dists)}' for name, dists in clashes.items())
        remove = ' '.join(d for dists in clashes.values() for d in dists)
        keep = ' '.join(dists[0] for dists in clashes.values())
        raise EnvironmentProblem(
            f'Two distributions provide the same package ({what}), so the files of one have overwritten those of '
            f'the other. Remove both and install one:\n  pip uninstall -y {remove}\n  pip install {keep}'
        )


def check_torch_pair(
    lookup: Callable[[str], str | None] = installed_version,
    import_module: Callable[[str], object] = importlib.import_module,
) -> None:
    """Raise if torch and torchvision are missing or were built for different versions or devices."""
    torch, vision = lookup('torch'), lookup('torchvision')
    if torch is None or vision is None:
        absent = ' and '.join(n for n, v in (('torch', torch), ('torchvision', vision)) if v is None)
        raise EnvironmentProblem(f'{absent} not installed:\n  pip install torch torchvision')
    try:
        import_module('torchvision')
    except (ImportError, RuntimeError, OSError) as error:
        raise EnvironmentProblem(
            f'torchvision {vision} does not work with torch {torch}: {error}\n'
            f'The two must come from the same package index{_wanted_torch()}. Reinstall both:\n'
            '  pip uninstall -y torch torchvision\n'
            '  pip install torch torchvision                                                  # with CUDA\n'
            '  pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu  # without'
        ) from error


def check_mmcv_ops(import_module: Callable[[str], object] = importlib.import_module) -> None:
    """Raise if mmcv has compiled ops that do not work, or if mmdet was imported without ops.

    mmdet's maintained family interprets a failed import of an op as "not compiled" and fails when the op is called.
    """
    compiled = compiled_ops()
    if compiled is not None:
        try:
            import_module('mmcv._ext')
        except (ImportError, OSError) as error:
            raise EnvironmentProblem(
                f'mmcv has compiled ops that cannot be loaded ({compiled}): {error}\n'
                'They must be built for the installed Python and torch. Either build them again or install mmcv '
                "without them, for which vlprompt has ops on torchvision's kernels:\n"
                '  pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv  # build\n'
                '  pip install --force-reinstall --no-deps --no-cache-dir onedl-mmcv                       # without'
            ) from error
    roi_align = getattr(sys.modules.get('mmdet.structures.mask.structures'), 'roi_align', None)
    if roi_align is not None and str(roi_align.__module__).startswith('mmdet'):
        raise EnvironmentProblem('mmdet was imported before vlprompt, so it found no ops: import vlprompt first')


def _wanted_torch() -> str:
    """``' (this torchvision asks for torch==2.9.1)'``, according to its metadata, or an empty string."""
    try:
        asked = [r for r in requires('torchvision') or [] if re.match(r'torch\b(?!vision)', r)]
    except PackageNotFoundError:
        asked = []
    return f' (this torchvision asks for {asked[0]})' if asked else ''


def installed_versions() -> dict[str, str]:
    """Versions of the packages that matter; imports none of them."""
    report = {name: installed_version(name) or 'not installed' for name in REPORTED}
    for distributions in FAMILIES.values():
        found = [d for d in distributions if installed_version(d)]
        report |= {d: installed_version(d) for d in found}
    return report


def environment_report() -> dict[str, str]:
    """Versions and resources to log at the start of a run, besides those that mmengine collects."""
    import torch

    report = installed_versions()
    report['mmcv ops'] = ops_in_use()
    report['platform'] = platform.platform()
    report['processors'] = f'{os.cpu_count()}, torch uses {torch.get_num_threads()} threads'
    return report
