"""Fixtures of the towers' tests."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
import torch

from tests.conftest import MICRO, ROOT
from vlprompt.clip import CLIP, PromptTokens, TextEncoder
from vlprompt.clip.text.packing import TextLayout


def load_tool(name: str) -> ModuleType:
    """Import ``dev/benchmarks/<name>.py``."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / 'dev' / 'benchmarks' / f'{name}.py')
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope='session')
def tower_parity() -> ModuleType:
    """The tool that compares the towers with open_clip's."""
    return load_tool('tower_parity')


@pytest.fixture
def micro_clip(micro_arch, seeded) -> CLIP:
    """A micro CLIP of either form, random weights, all of its parameters with an effect."""
    return random_clip(micro_arch)


@pytest.fixture
def micro_vit(seeded) -> CLIP:
    return random_clip(MICRO['vit'])


def random_clip(arch: dict) -> CLIP:
    model = CLIP(arch).eval()
    load_tool('tower_parity').randomise(model)
    return model


@pytest.fixture
def text_encoder(seeded) -> TextEncoder:
    """Three frozen blocks of width 24, 20 positions, 50 tokens."""
    encoder = TextEncoder(embed_dim=8, context_length=20, vocab_size=50, width=24, heads=3, layers=3)
    load_tool('tower_parity').randomise(encoder)
    return encoder.requires_grad_(False)


def random_prompts(
    prompts: int, shared: int, lengths: list[list[int]], width: int = 24, spare: int = 2
) -> PromptTokens:
    """Random prompts with ``lengths`` [P][K] tokens after the prefix, and ``spare`` rows after the longest."""
    rows = max(max(row) for row in lengths) + spare
    return PromptTokens(
        prefix=torch.randn(prompts, shared, width).requires_grad_(),
        suffix=torch.randn(prompts, len(lengths[0]), rows, width).requires_grad_(),
        layout=TextLayout([[shared + length - 1 for length in row] for row in lengths]),
    )
