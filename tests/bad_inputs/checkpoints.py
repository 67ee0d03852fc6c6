"""Checkpoints, states to resume and weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from tests.bad_inputs.case import Case, add, run
from tests.bad_inputs.few_shot import project, train
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.writing import write_checkpoint


@cache
def _files() -> dict[str, bytes]:
    """The files that a training of the project leaves."""
    kept: dict[str, bytes] = {}

    def make(folder):
        project(folder)
        return train(folder, 'default_hooks.checkpoint.interval=1')

    def keep(folder: Path) -> None:
        kept.update({name: (folder / 'run' / name).read_bytes() for name in ('epoch_1.pth', 'resume.pth')})

    run(Case('', '', make), keep)
    return kept


def changed(folder: Path, name: str, change) -> Path:
    """The project with a run in it, one file of which was changed: ``change`` takes the path."""
    project(folder)
    work_dir = folder / 'run'
    work_dir.mkdir()
    for file, content in _files().items():
        (work_dir / file).write_bytes(content)
    change(work_dir / name)
    return work_dir / name


def content(change):
    def apply(path):
        found = read_checkpoint(path)
        change(found)
        write_checkpoint(found, path)

    return apply


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


DAMAGE = {
    'missing': (lambda path: path.unlink(), 'does not exist'),
    'empty': (lambda path: path.write_bytes(b''), 'it is empty'),
    'half of it': (cut(0.5), 'incomplete'),
    'without its end': (cut(0.99), 'incomplete'),
    'text': (lambda path: path.write_text('nothing'), 'no file of tensors'),
    'a web page': (lambda path: path.write_text('<html></html>'), 'web page'),
    'a pointer of Git LFS': (
        lambda path: path.write_text('version https://git-lfs.github.com/spec/v1'),
        'git lfs pull',
    ),
    'a list': (lambda path: torch.save([1], path), 'holds a list'),
}
STATE = {
    'no state_dict': (lambda c: c.pop('state_dict'), 'no "state_dict"'),
    'NaN': (lambda c: c['state_dict']['prompt.context'].fill_(torch.nan), 'NaN or infinity'),
    'another shape': (
        lambda c: c['state_dict'].update({'prompt.context': torch.zeros(2, 5, 32)}),
        r'prompt\.context has shape',
    ),
    'a tensor more': (lambda c: c['state_dict'].update(extra=torch.zeros(1)), 'unexpected extra'),
    'other classes': (lambda c: c['meta']['vlprompt'].update(class_names=['a', 'b', 'c']), 'trained on 3 classes'),
    'other base weights': (
        lambda c: c['meta']['vlprompt'].update(base=dict(name='x', sha256='0' * 64)),
        'was trained on x',
    ),
    'meta as text': (lambda c: c.update(meta='text'), 'meta is a str'),
}
for _name, (_change, _refused) in (
    DAMAGE | {name: (content(change), text) for name, (change, text) in STATE.items()}
).items():

    def _test(folder, change=_change):
        path = changed(folder, 'epoch_1.pth', change)
        return ['test', folder / 'tiny.py', path, '--work-dir', folder / 'test']

    add('checkpoints, test', _name, _test, rf'(epoch_1\.pth|checkpoint).*{_refused}|{_refused}.*epoch_1')

RESUME = {
    'without an epoch': (content(lambda c: c['meta'].pop('epoch')), 'how far its training was'),
    'without an optimizer': (content(lambda c: c.pop('optimizer')), 'no state of an optimizer'),
    'another seed': (content(lambda c: c['meta'].update(seed=7)), '--seed 7'),
    'another optimizer': (
        content(
            lambda c: (
                c['optimizer']['state'].update({0: {}}) or c['optimizer']['param_groups'][0].update(betas=(0.9, 0.9))
            )
        ),
        'optimizer',
    ),
}
for _name, (_change, _refused) in ({k: v for k, v in DAMAGE.items() if k != 'missing'} | RESUME).items():

    def _resume(folder, change=_change):
        changed(folder, 'resume.pth', change)
        return train(folder, 'train_cfg.max_epochs=2', arguments=('--resume',))

    add('states to resume', _name, _resume, rf'resume\.pth.*{_refused}')

for _name, (_change, _refused) in DAMAGE.items():

    def _weights(folder, change=_change):
        project(folder)
        change(folder / 'base.pt')
        return train(folder)

    add(
        'weights',
        _name,
        _weights,
        rf'base\.pt.*({_refused}|no state dict)' if _name != 'missing' else r'no weight file at .*base\.pt',
    )

    def _convert(folder, change=_change):
        path = changed(folder, 'epoch_1.pth', change)
        return ['convert', 'coop', path, folder / 'out.pth']

    add('converters', _name, _convert, rf'epoch_1\.pth.*{_refused}')
