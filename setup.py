"""What pyproject.toml cannot express: a wheel ships configs, tools and model-index.yml as ``vlprompt/.mim``."""

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
        for name in SHIPPED:
            target = Path(self.build_lib) / 'vlprompt' / '.mim' / name
            if (ROOT / name).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
                continue
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))


setup(cmdclass={'build_py': BuildWithConfigs})
