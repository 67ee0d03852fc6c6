"""Train the shipped adapters and write their folders into the package.

    python -m dev.train_adapters                      # all that were not trained before, half an hour on two cores
    python -m dev.train_adapters "coop*" lpt_micro-vit

Data are drawn to data/ by tools/dataset_converters/generate_world.py first. A training that has its test_metrics.json
in work_dirs/adapters/NAME is not repeated. Schedules are shorter than those of the configs where that spares minutes,
and towers of segmentation, detection and re-identification are frozen but for what keeps the folders small: the figures
in the cards are those of these trainings.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from vlprompt.engine.adapters.folder import CARD
from vlprompt.engine.adapters.sources import BUILTIN, BUILTIN_FOLDER

ROOT = Path(__file__).resolve().parents[1]
WORK_DIRS = ROOT / 'work_dirs' / 'adapters'


@dataclass(frozen=True)
class Recipe:
    """How one adapter is trained.

    Args:
        config: name of a shipped config.
        options: of ``--cfg-options``.
        half: store fp16: towers that were trained as a whole.
    """

    config: str
    options: tuple[str, ...] = ()
    half: bool = False


FROZEN = ('model.frozen=[backbone.trunk.*,backbone.matching.text.*]', 'optim_wrapper.paramwise_cfg=None')
"""Of DenseCLIP: neck, heads and context decoder alone are trained."""

_LOWER_LAYERS = (
    *(f'visual.{name}' for name in ('conv1.*', 'class_embedding', 'positional_embedding', 'ln_pre.*')),
    *(f'visual.transformer.resblocks.{block}.*' for block in range(4)),
)

RECIPES = {
    # few-shot: prompts
    'coop_micro-rn': Recipe('coop/coop_micro-rn'),
    'cocoop_micro-vit': Recipe('cocoop/cocoop_micro-vit', ('train_cfg.max_epochs=2',)),
    'maple_micro-vit': Recipe('maple/maple_micro-vit', ('train_cfg.max_epochs=4',)),
    'plot_micro-rn': Recipe('plot/plot_micro-rn', ('train_cfg.max_epochs=8',)),
    'promptsrc_micro-vit': Recipe('promptsrc/promptsrc_micro-vit', ('train_cfg.max_epochs=4',)),
    # few-shot: towers
    'clip-lora_micro-vit': Recipe('clip_lora/clip-lora_micro-vit', ('train_cfg.max_iters=60',)),
    '2sfs_micro-vit': Recipe(
        'two_stage/2sfs_micro-vit',
        ('phases.norms.train_cfg.max_iters=48', 'phases.classifier.train_cfg.max_iters=64'),
    ),
    # few-shot: stored features
    'clap_micro-rn': Recipe('clap/clap_micro-rn'),
    'gda_micro-rn': Recipe('gda/gda_micro-rn'),
    'linear-probe_micro-rn': Recipe('linear_probe/linear-probe_micro-rn'),
    'lpp_micro-rn': Recipe('lpp/lpp_micro-rn'),
    'proker_micro-rn': Recipe('proker/proker_micro-rn', ('shots=4',)),
    'tip-adapter-f_micro-rn': Recipe('tip_adapter/tip-adapter-f_micro-rn'),
    # long-tailed classes
    'adaptformer_micro-vit': Recipe('adaptformer/adaptformer_micro-vit', ('train_cfg.max_epochs=2',)),
    'vpt_micro-vit': Recipe('vpt/vpt_micro-vit', ('train_cfg.max_epochs=3',)),
    'lpt_micro-vit': Recipe(
        'lpt/lpt_micro-vit',
        ('phases.shared.train_cfg.max_epochs=2', 'phases.groups.train_cfg.max_epochs=2'),
    ),
    # re-identification, segmentation, detection
    'clipreid_micro-vit': Recipe(
        'clipreid/clipreid_micro-vit',
        (
            'phases.prompts.train_cfg.max_epochs=30',
            'phases.finetune.train_cfg.max_epochs=6',
            f'phases.finetune.model.frozen=[{",".join(_LOWER_LAYERS)}]',
        ),
        half=True,
    ),
    'denseclip_micro-rn': Recipe('denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160', FROZEN, half=True),
    'retinanet_denseclip-micro-rn': Recipe(
        'denseclip_det/retinanet_denseclip-micro-rn_fpn_600i_scenes-160x160',
        ('train_cfg.max_iters=160', *FROZEN),
        half=True,
    ),
}


def train(name: str, recipe: Recipe) -> Path:
    """Train and test, unless that was done before; returns the folder of the run."""
    folder = WORK_DIRS / name
    if not (folder / 'test_metrics.json').is_file():
        options = ['--cfg-options', *recipe.options] if recipe.options else []
        _run('tools/train.py', recipe.config, '--test', '--work-dir', folder.relative_to(ROOT), *options)
    return folder


def newest_checkpoint(folder: Path) -> Path:
    """The last checkpoint of a run, or of its last phase."""
    return max(
        (file for file in folder.rglob('*.pth') if file.name.startswith(('epoch_', 'iter_'))),
        key=lambda file: file.stat().st_mtime,
    )


def write(name: str, recipe: Recipe, folder: Path) -> None:
    """Write the folder of the adapter into the package."""
    target = BUILTIN_FOLDER / name
    shutil.rmtree(target, ignore_errors=True)
    options = shlex.join(recipe.options)
    command = f'vlprompt train {recipe.config} --test' + (f' --cfg-options {options}' if options else '')
    notes = (
        'Ships with vlprompt to be tried without training; it knows the drawn scenes of the built-in world alone. '
        f'Trained by\n\n```bash\n{command}\n```'
    )
    if recipe.half:
        notes += '\n\nThe figures are those of the checkpoint; the tensors here are rounded to fp16.'
    more = ['--half'] if recipe.half else []
    more += ['--cfg-options', *recipe.options] if recipe.options else []
    about = ['--metrics', folder / 'test_metrics.json', '--licence', 'apache-2.0', '--notes', notes, *more]
    source = newest_checkpoint(folder)
    _run('tools/model_converters/save_adapter.py', recipe.config, source, target, *about)
    card = (target / CARD).read_text(encoding='utf-8')  # its readers have no folder of this name, but a config
    (target / CARD).write_text(
        card.replace(f"init_model('{name}')", f"init_model('{BUILTIN}{name}')"), encoding='utf-8'
    )


def _run(*command: object) -> None:
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', default=['*'], help='names or patterns of them', metavar='NAME')
    parser.add_argument('--trained', action='store_true', help='only write those that were trained before')
    args = parser.parse_args()
    chosen = [name for name in RECIPES if any(fnmatchcase(name, pattern) for pattern in args.names)]
    if not chosen:
        parser.error(f'no adapter of these names; there are {", ".join(RECIPES)}')
    for name in chosen:
        if args.trained and not (WORK_DIRS / name / 'test_metrics.json').is_file():
            print(f'{name} was not trained')
            continue
        write(name, RECIPES[name], train(name, RECIPES[name]))
    size = sum(file.stat().st_size for file in BUILTIN_FOLDER.rglob('*') if file.is_file())
    print(f'{len(list(BUILTIN_FOLDER.iterdir()))} adapters, {size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
