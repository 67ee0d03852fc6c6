"""Data: supported datasets, your own images, the built-in world; transforms and samplers."""

from vlprompt.datasets.classification.few_shot import FewShotDataset
from vlprompt.datasets.classification.long_tailed import LongTailedDataset
from vlprompt.datasets.dense.image_file import LoadImageFile
from vlprompt.datasets.reid.dataset import ReIDDataset
from vlprompt.datasets.reid.transforms import PackReIDInputs, PaddedRandomCrop, RandomErasing, ResizeImage
from vlprompt.datasets.samplers.balanced import ClassAwareSampler, DualStreamBatchSampler
from vlprompt.datasets.samplers.epoch import DropRaggedBatchSampler, EpochSampler
from vlprompt.datasets.samplers.infinite import InfiniteEpochSampler
from vlprompt.datasets.samplers.pk import PKSampler
from vlprompt.datasets.seeded import EpochSeededDataset, SeededDataset
from vlprompt.datasets.transforms import (
    CenterCrop,
    FiveCrop,
    KeepInMemory,
    LoadImage,
    MinimalistCrop,
    PackClassification,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ResizeShorterSide,
    SquareImage,
)

__all__ = [
    'CenterCrop',
    'ClassAwareSampler',
    'DropRaggedBatchSampler',
    'DualStreamBatchSampler',
    'EpochSampler',
    'EpochSeededDataset',
    'FewShotDataset',
    'FiveCrop',
    'InfiniteEpochSampler',
    'KeepInMemory',
    'LoadImage',
    'LoadImageFile',
    'LongTailedDataset',
    'MinimalistCrop',
    'PKSampler',
    'PackClassification',
    'PackReIDInputs',
    'PaddedRandomCrop',
    'RandomErasing',
    'RandomHorizontalFlip',
    'RandomResizedCrop',
    'ReIDDataset',
    'ResizeImage',
    'ResizeShorterSide',
    'SeededDataset',
    'SquareImage',
]
