"""Log line, averaged predictions, pictures of predictions, processes without GPUs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from torch.utils.data import DataLoader

from tests.conftest import Images
from vlprompt.engine import PredictionImageHook
from vlprompt.engine.log_processor import images_per_step, peak_memory_mb
from vlprompt.engine.processes import init_cpu_process_group
from vlprompt.models import FlipTTAModel
from vlprompt.structures import ClassificationSample


@pytest.mark.parametrize(
    ('size', 'batch', 'drop_last', 'expected'), [(10, 4, False, 10 / 3), (10, 4, True, 4), (3, 4, False, 3)]
)
def test_images_per_step_counts_the_incomplete_batch(size, batch, drop_last, expected):
    assert images_per_step(DataLoader(list(range(size)), batch, drop_last=drop_last)) == pytest.approx(expected)


def test_images_per_step_counts_both_streams(tmp_path):
    from vlprompt.datasets import ClassAwareSampler, DualStreamBatchSampler, LongTailedDataset

    (tmp_path / 'train.txt').write_text(''.join(f'{i}.png {i % 2}\n' for i in range(7)))
    dataset = LongTailedDataset(str(tmp_path), ann_file='train.txt', pipeline=[])
    batches = DualStreamBatchSampler(ClassAwareSampler(dataset), 4)
    assert images_per_step(DataLoader(dataset, batch_sampler=batches)) == len(next(iter(batches))) == 8


def test_peak_memory_is_that_of_this_process():
    """The kernel's high-water mark, which memory that has been given back does not lower."""

    def high_water():
        (line,) = [line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')]
        return int(line.split()[1]) / 1024

    block = np.ones(60 * 2**20, dtype=np.uint8)
    with_block = peak_memory_mb()
    assert with_block == pytest.approx(high_water(), abs=2)
    del block
    assert peak_memory_mb() == with_block


class LeftBrighter(BaseModel):
    """Scores the brightness of the left and the right half."""

    def forward(self, inputs, data_samples, mode):
        half = inputs[0].shape[-1] // 2
        for image, sample in zip(inputs, data_samples, strict=True):
            sample.set_pred_score(torch.stack([image[..., :half].mean(), image[..., half:].mean()]))
        return data_samples


def test_flip_averages_an_image_and_its_mirror_image():
    image = torch.zeros(3, 2, 4)
    image[..., :2] = 1
    sample = ClassificationSample(metainfo=dict(img_path='a.png'))
    (merged,) = FlipTTAModel(LeftBrighter()).test_step(dict(inputs=[image], data_samples=[sample]))
    assert merged.img_path == 'a.png'
    assert merged.pred_score.tolist() == [0.5, 0.5]


def test_predictions_are_drawn_into_right_and_wrong(tmp_path):
    hook = PredictionImageHook(tmp_path, top_k=2)
    data = Images(2, classes=('cat', 'dog'))
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=data), rank=0, world_size=1)
    hook.before_test(runner)
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    samples = [
        ClassificationSample(metainfo=dict(img_path=f'data/{name}.jpg')).set_gt_label(i).set_pred_score(scores[i])
        for i, name in enumerate('ab')
    ]
    images = [torch.full((3, 16, 32), 200, dtype=torch.uint8)] * 2
    hook.after_test_iter(runner, 0, dict(inputs=images), samples)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*.png')) == [
        'right/000000_a.png',
        'wrong/000001_b.png',
    ]


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_a_launcher_without_its_variables_says_which(monkeypatch, launcher):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match=rf'--launcher {launcher}: .*RANK|PROCID'):
        init_cpu_process_group(launcher)
