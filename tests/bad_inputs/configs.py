"""Options and configs: unknown keys, wrong types, values out of range, options without effect."""

from __future__ import annotations

from tests.bad_inputs.case import add, case
from tests.bad_inputs.few_shot import project, train


def option(text: str, refused: str | None = None, says: str | None = None, *arguments: str) -> None:
    def make(folder):
        project(folder)
        return train(folder, text, arguments=arguments)

    add('options', text, make, refused, says)


DATASET = 'train_dataloader.dataset'
for text, refused in {
    f'{DATASET}.shots=1.5': r'shots.*1\.5.*whole number',
    f'{DATASET}.shots=0': 'shots.*0',
    f'{DATASET}.shots=-1': 'shots.*-1',
    f'{DATASET}.shots=two': 'shots.*two',
    f'{DATASET}.split=trian': 'split.*trian',
    f'{DATASET}.split=none': 'split',
    f'{DATASET}.seed=abc': 'seed.*abc',
    'train_dataloader.batch_size=2.5': r'batch_size.*2\.5',
    'train_dataloader.batch_size=0': 'batch_size.*0',
    'train_dataloader.batch_size=-3': 'batch_size.*-3',
    'train_dataloader.num_workers=-1': 'num_workers.*-1',
    'train_dataloader.num_workers=some': 'num_workers.*some',
    'train_cfg.max_epochs=0': 'max_epochs.*0',
    'train_cfg.max_epochs=-1': 'max_epochs.*-1',
    'train_cfg.max_epochs=abc': 'max_epochs.*abc',
    'train_cfg.max_epochs=1.5': r'max_epochs.*1\.5',
    'train_cfg.val_interval=0': 'val_interval.*0',
    'optim_wrapper.optimizer.lr=abc': 'lr.*abc',
    'optim_wrapper.optimizer.lr=-1': 'lr.*-1',
    'optim_wrapper.optimizer.lr=nan': 'lr.*nan',
    'optim_wrapper.optimizer.lr=inf': 'lr.*inf',
    'optim_wrapper.optimizer.weight_decay=-1': 'weight_decay.*-1',
    'optim_wrapper.optimizer.momentum=fast': 'momentum.*fast',
    'optim_wrapper.accumulative_counts=0': 'accumulative_counts.*0',
    'randomness.seed=abc': 'seed.*abc',
    'randomness.seed=-5': 'seed.*-5',
    'default_hooks.checkpoint.interval=0': 'interval.*0',
    'default_hooks.checkpoint.intervall=2': "intervall.*Did you mean 'default_hooks.checkpoint.interval'",
    'default_hooks.logger.interval=0': 'interval.*0',
    'model.prompt.n_ctx=four': 'n_ctx.*four',
    'model.prompt.n_ctx=0': 'n_ctx',
    'model.prompt.n_ctx=500': 'n_ctx|context|positions',
    'model.prompt.n_ctxx=4': r"n_ctxx.*Did you mean 'model\.prompt\.n_ctx'",
    'model.prompt.type=ContextPromt': 'ContextPromt.*Did you mean',
    'model.type=vlprompt.TextClasifier': 'TextClasifier.*Did you mean',
    'model.alignment.type=vlprompt.CosinAlignment': 'CosinAlignment.*Did you mean',
    'model.trainable=nothing': 'trainable.*nothing',
    "model.trainable=['promt.context']": r'promt\.context',
    'model.class_names=[apple,boat]': r'2 classes|boat|3 classes',
    'model.class_names=[apple,boat,cup,duck]': 'duck|4 classes',
    'model.class_names=[boat,apple,cup]': 'order|boat',
    'model.class_names=nowhere.txt': r'nowhere\.txt',
    'model.clip.arch=RN49': 'RN49',
    'model.clip.weights=nowhere.pt': r'nowhere\.pt',
    'model.clip.image_size=abc': 'image_size.*abc',
    'param_scheduler.0.type=WarmupCosinLR': 'WarmupCosinLR.*Did you mean',
    'param_scheduler.0.T_max=0': 'T_max.*0',
    'train_dataloader.sampler.type=EpochSamplr': 'EpochSamplr.*Did you mean',
    'train_dataloader.persistent_workers=maybe': 'persistent_workers.*maybe',
    'test_evaluator.type=Acuracy': 'Acuracy.*Did you mean',
    'optim_wrapper.optimizer.type=SGDD': 'SGDD.*Did you mean',
    'optim_wrapper.type=OptimWraper': 'OptimWraper.*Did you mean',
    'trian_cfg.max_epochs=2': 'trian_cfg.*Did you mean',
    'load_from=nowhere.pth': r'nowhere\.pth',
    'visualizer.vis_backends=[]x': 'vis_backends',
    'launcher=fast': 'launcher|fast',
}.items():
    option(text, refused)

option('train_dataloader.persistent_workers=True', says=r'Epoch\(train\) *\[1\]')
option(f'{DATASET}.shots=1000', says='fewer|1000')
option('train_dataloader.batch_size=1000', says='batch_size|1000')


def file(name: str, content: str, refused: str) -> None:
    def make(folder):
        project(folder)
        (folder / 'mine.py').write_text(content)
        return ['train', folder / 'mine.py', '--work-dir', folder / 'run']

    add('config files', name, make, refused)


file('an unclosed bracket', "_base_ = './tiny.py'\nmodel = dict(\n", r'mine\.py')
file('an undefined name', "_base_ = './tiny.py'\nmodel = nothing\n", r'mine\.py.*nothing')
file('a base that does not exist', "_base_ = './tinny.py'\n", r"tinny\.py, which does not exist. Did you mean 'tiny'")
file('an import that fails', "_base_ = './tiny.py'\ncustom_imports = dict(imports=['nothing_here'])\n", 'nothing_here')
file('empty', '', r'mine\.py|model')
file('not Python', 'this is a note\n', r'mine\.py')
file('a list as model', "_base_ = './tiny.py'\nmodel = [1]\n", 'model')


@case('config files', 'does not exist', refused=r'coop_rn5\.py does not exist.*Did you mean')
def _(folder):
    return ['train', 'configs/coop/coop_rn5.py']


@case('config files', 'a folder', refused='tiny|folder|directory')
def _(folder):
    project(folder)
    return ['train', folder]


@case('options', 'without an equals sign', refused='KEY=VALUE|2')
def _(folder):
    project(folder)
    return ['train', folder / 'tiny.py', '--cfg-options', 'model']


@case('options', '--phase without phases', refused='phase.*no phases')
def _(folder):
    project(folder)
    return train(folder, arguments=('--phase', 'prompts'))


@case('options', '--shots text', refused='2|shots')
def _(folder):
    project(folder)
    return train(folder, arguments=('--shots', 'many'))


@case('options', '--dataset misspelt', refused='caltech100.*Did you mean.*caltech101')
def _(folder):
    return ['train', 'coop_rn50', '--dataset', 'caltech100']


@case('options', '--auto-scale-lr without a base', refused='base_batch_size')
def _(folder):
    project(folder)
    return train(folder, 'auto_scale_lr=None', arguments=('--auto-scale-lr',))


@case('options', '--resume of nothing', refused='nowhere')
def _(folder):
    project(folder)
    return train(folder, arguments=('--resume', str(folder / 'nowhere')))


@case('options', '--data-root of nothing', refused=r'does not exist|nowhere')
def _(folder):
    return ['train', 'coop_micro-rn', '--dataset', 'folder', '--data-root', folder / 'nowhere']
