"""Readers of re-identification data: from files on disk to lists of (path, identity, camera, viewpoint)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from vlprompt.datasets.reid.readers.base import README, SPLITS, ReIDItem, ReIDReader
from vlprompt.datasets.reid.readers.lists import MSMT17Reader, VehicleIDReader
from vlprompt.datasets.reid.readers.market import MarketReader, VeRiReader
from vlprompt.datasets.reid.readers.table import TableReader

__all__ = ['REID_PRESETS', 'SPLITS', 'ReIDItem', 'ReIDReader', 'build_reid_reader']


def _preset(folder: str, reader: Callable[..., ReIDReader], **kwargs) -> Callable[[Path], ReIDReader]:
    def build(data_root: Path) -> ReIDReader:
        source = data_root / folder
        hint = kwargs.get('hint') or f'{source} must hold the data set as its authors publish it. {README}'
        return reader(source, **kwargs | dict(hint=hint.format(source=source)))

    return build


_vehicles = partial(_preset, 'VehicleID_V1.0', VehicleIDReader, noun='vehicle', num_cameras=1)

REID_PRESETS: dict[str, Callable[[Path], ReIDReader]] = {
    'market1501': _preset('Market-1501-v15.09.15', MarketReader, num_cameras=6),
    'dukemtmc': _preset('dukemtmcreid/DukeMTMC-reID', MarketReader, num_cameras=8),
    'occluded_duke': _preset('dukemtmcreid/Occluded_Duke', MarketReader, num_cameras=8),
    'msmt17': _preset('MSMT17', MSMT17Reader, num_cameras=15),
    'veri': _preset('VeRi', VeRiReader, noun='vehicle', num_cameras=20),
    'vehicleid': _vehicles(),
    'vehicleid_1600': _vehicles(test_size=1600),
    'vehicleid_2400': _vehicles(test_size=2400),
    'scenes_reid': _preset(
        'scenes_reid',
        MarketReader,
        hint='Make it with: python tools/dataset_converters/generate_world.py --task reid --out {source}',
    ),
}
"""Reader of every data set, given the data root."""


def build_reid_reader(
    data_root: str | Path,
    dataset: str | None = None,
    ann_file: str | None = None,
    data_prefix: str = '',
    noun: str | None = None,
) -> ReIDReader:
    """The reader of a benchmark, or of one's own data.

    The arguments are those of :class:`~vlprompt.datasets.reid.dataset.ReIDDataset`.

    Raises:
        ValueError: an unknown benchmark, contradicting arguments, or an unknown type of file.
    """
    root = Path(data_root)
    if dataset is not None:
        if dataset not in REID_PRESETS:
            raise ValueError(f'unknown dataset {dataset!r}; one of {", ".join(REID_PRESETS)}, or None for own data')
        if ann_file is not None or data_prefix or noun is not None:
            raise ValueError(
                f'dataset={dataset!r} fixes ann_file, data_prefix and noun; leave them out, or leave dataset out'
            )
        return REID_PRESETS[dataset](root)
    noun = noun or 'person'
    if ann_file is None:
        return MarketReader(root / data_prefix, noun=noun)
    if not ann_file.endswith('.csv'):
        raise ValueError(f"ann_file {ann_file!r} must be a *.csv, or None for a folder in Market-1501's layout")
    hint = f'{ann_file} is looked for in {root}; paths in it are relative to {root / data_prefix}.'
    return TableReader(root / ann_file, root / data_prefix, hint=hint, noun=noun)
