"""Shared fixtures: a micro CLIP of both forms, and the optional reference numbers and photographs."""

from __future__ import annotations

import gc
import io
import socket
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from mmengine.config import Config

import vlprompt  # noqa: F401  before any test module imports mmdet, which would find no ops (see vlprompt.compat)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / 'shared'

TEXT = dict(
    embed_dim=24,
    context_length=77,
    vocab_size=49408,
    transformer_width=32,
    transformer_heads=2,
    transformer_layers=2,
)
MICRO = {
    'rn': dict(TEXT, image_size=64, vision_layers=(1, 1, 1, 1), vision_width=8, vision_patch_size=None),
    'vit': dict(TEXT, image_size=64, vision_layers=2, vision_width=64, vision_patch_size=16),
}


@pytest.fixture(scope='session', autouse=True)
def first_backward_pass() -> None:
    """It chooses autograd's threads.  If it is one of tensors without data, processes that are forked later refuse to
    compute gradients.
    """
    torch.ones(1, requires_grad=True).sum().backward()


@pytest.fixture(params=['rn', 'vit'])
def micro_arch(request) -> dict:
    """Architecture of a micro CLIP, once with a ModifiedResNet and once with a ViT: 2x2 or 4x4 local tokens."""
    return dict(MICRO[request.param])


@pytest.fixture
def micro_rn() -> dict:
    return dict(MICRO['rn'])


@pytest.fixture
def seeded():
    """Fixed random numbers for the test."""
    torch.manual_seed(0)


SLOW = (
    'test_compat',  # converters as commands, mmcv's ops
    'test_golden',  # full towers
    'test_tools',  # whole commands
    'test_configs_det.py',
    'test_docs.py',
    'test_startup.py',
    'test_wheel.py',
)
"""Folders and files of tests/ that `make quick` leaves out, besides single tests that are marked ``slow``."""


LONGEST = ('test_tutorials.py', 'test_wheel.py', 'test_notebooks.py', 'test_docs.py')
"""Files whose tests take up to a minute each. They come first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        if item.path.relative_to(ROOT / 'tests').parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)


def run_tool(main: Callable[[], object], *arguments: object) -> str:
    """Run the ``main`` of a tool with arguments, in this process, and return what it prints."""
    shown = io.StringIO()
    with patch.object(sys, 'argv', ['tool', *map(str, arguments)]), redirect_stdout(shown):
        main()
    return shown.getvalue()


def leave_unformatted(cfg: Config) -> None:
    """Have mmengine write a config as it is: formatting takes longer than most trainings here."""
    object.__setattr__(cfg, '_format_python_code', False)  # Config's own __setattr__ adds a key to its content


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the process: mmengine has it run for every dataset."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session')
def golden():
    """The module that reads reference outputs; skips where they are not installed beside the checkout."""
    folder = SHARED / 'golden'
    if not folder.is_dir():
        pytest.skip(f'reference numbers are not at {folder}')
    sys.path.insert(0, str(folder))
    try:
        import golden as module
    finally:
        sys.path.remove(str(folder))
    return module


@pytest.fixture(scope='session')
def realdata() -> Path:
    """Folder of photographs; skips where it is not beside the checkout."""
    folder = SHARED / 'realdata'
    if not folder.is_dir():
        pytest.skip(f'photographs are not at {folder}')
    return folder


def free_port() -> int:
    """A port that nothing listens to, for processes that find each other there."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Images(list):
    """A dataset for hooks: a length and what is known about it."""

    def __init__(self, count, **metainfo):
        super().__init__(range(count))
        self.metainfo = metainfo
