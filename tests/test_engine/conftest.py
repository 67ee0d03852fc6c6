"""A whole project in a folder: images in three colours, the weights of a micro CLIP, and a config."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_project import TinyProject


@pytest.fixture(scope='session')
def project(tmp_path_factory) -> TinyProject:
    return TinyProject.create(tmp_path_factory.mktemp('project'))


@pytest.fixture
def work_dir(tmp_path) -> Path:
    return tmp_path / 'work'
