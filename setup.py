"""What pyproject.toml cannot express: ship configs/ and tools/ inside the wheel as ``vlprompt/.mim``."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools')


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
        for folder in SHIPPED:
            link = ROOT / 'vlprompt' / '.mim' / folder
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                link.symlink_to(Path('..', '..', folder), target_is_directory=True)

    def _copy(self) -> None:
        for folder in SHIPPED:
            target = Path(self.build_lib) / 'vlprompt' / '.mim' / folder
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / folder, target, ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))


setup(cmdclass={'build_py': BuildWithConfigs})
