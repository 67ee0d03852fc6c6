"""What pyproject.toml cannot express: ship configs, tools and model index inside the wheel as ``vlprompt/.mim``."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'model-index.yml')


class BuildWithConfigs(build_py):
    """Put configs and tools where mmengine's ``_base_ = 'vlprompt::...'`` and ``get_config`` look for them.

    A wheel holds copies, an editable install links to the folders beside the package.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            self._link()
        else:
            self._copy()

    def _link(self) -> None:
        for name in SHIPPED:
            link = ROOT / 'vlprompt' / '.mim' / name
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                link.symlink_to(Path('..', '..', name), target_is_directory=(ROOT / name).is_dir())

    def _copy(self) -> None:
        folder = Path(self.build_lib) / 'vlprompt' / '.mim'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in SHIPPED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
            else:
                shutil.copy(ROOT / name, folder)


setup(cmdclass={'build_py': BuildWithConfigs})
