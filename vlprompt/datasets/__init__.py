"""Data: few-shot and long-tailed benchmarks, one's own images, the built-in world; transforms and samplers."""

from vlprompt.datasets.balanced_samplers import ClassAwareSampler, DualStreamBatchSampler
from vlprompt.datasets.base import EpochSeededDataset
from vlprompt.datasets.few_shot import FewShotDataset
from vlprompt.datasets.image_file import LoadImageFile
from vlprompt.datasets.long_tailed import LongTailedDataset
from vlprompt.datasets.pk_sampler import PKSampler
from vlprompt.datasets.reid import ReIDDataset
from vlprompt.datasets.reid_transforms import PackReIDInputs, PaddedRandomCrop, RandomErasing, ResizeImage
from vlprompt.datasets.samplers import DropRaggedBatchSampler, EpochSampler
from vlprompt.datasets.seeded import InfiniteEpochSampler, PaddedEpochSampler, SeededDataset
from vlprompt.datasets.transforms import (
    CenterCrop,
    LoadImage,
    PackClassification,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ResizeShorterSide,
)

__all__ = [
    'CenterCrop',
    'ClassAwareSampler',
    'DropRaggedBatchSampler',
    'DualStreamBatchSampler',
    'EpochSampler',
    'EpochSeededDataset',
    'FewShotDataset',
    'InfiniteEpochSampler',
    'LoadImage',
    'LoadImageFile',
    'LongTailedDataset',
    'PKSampler',
    'PackClassification',
    'PackReIDInputs',
    'PaddedEpochSampler',
    'PaddedRandomCrop',
    'RandomErasing',
    'RandomHorizontalFlip',
    'RandomResizedCrop',
    'ReIDDataset',
    'ResizeImage',
    'ResizeShorterSide',
    'SeededDataset',
]
