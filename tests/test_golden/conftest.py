"""Numbers are compared at full precision, whatever a training in the same session has allowed (``env_cfg.tf32``), and
the memory of a full model is given back before the next one is made.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope='module', autouse=True)
def full_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision('highest')
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.fixture(autouse=True)
def memory_is_given_back() -> Iterator[None]:
    """Models lie in reference cycles, for which the collector, counting objects, sees no hurry; and glibc keeps what is
    freed. All tests in one process take gigabytes otherwise.
    """
    yield
    gc.collect()
    if sys.platform == 'linux':
        getattr(ctypes.CDLL(None), 'malloc_trim', lambda _: None)(0)  # musl has none
