"""Folders of runs, and what happens while one trains."""

from __future__ import annotations

from tests.bad_inputs.case import case
from tests.bad_inputs.few_shot import project, train


@case('runs', 'the work dir is a file', refused=r'/run is a file where a folder is needed: choose another folder')
def _(folder):
    project(folder)
    (folder / 'run').write_text('here')
    return train(folder)


@case('runs', 'the work dir cannot be written', refused=r'^(FileNotFoundError|PermissionError): .*/proc/run')
def _(folder):
    project(folder)
    return [*train(folder)[:2], '--work-dir', '/proc/run']


@case('runs', 'a loss that is not finite', refused=r'(loss|gradient|context).*(nan|not finite|NaN)')
def _(folder):
    project(folder)
    return train(
        folder, 'optim_wrapper.optimizer.lr=1e30', 'optim_wrapper.optimizer.weight_decay=1e30', 'train_cfg.max_epochs=4'
    )


@case('runs', 'an image vanishes while it trains', refused=r'0\.png does not exist')
def _(folder):
    data = project(folder)
    (data / 'train/apple/0.png').unlink()
    (data / 'train/apple/0.png').symlink_to('nothing')
    return train(folder)
