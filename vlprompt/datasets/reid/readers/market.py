"""Sets in Market-1501's layout: Market-1501, DukeMTMC-reID, Occluded-Duke, VeRi-776, your own folders."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from vlprompt.datasets.reid.readers.base import ReIDItem, ReIDReader, read_named_folder
from vlprompt.files import read_lines, whole_number

FOLDERS = dict(train='bounding_box_train', query='query', gallery='bounding_box_test')
VERI_FOLDERS = dict(train='image_train', query='image_query', gallery='image_test')


class MarketReader(ReIDReader):
    """A folder per split, with images called ``<identity>_c<camera>...``.

    Identity -1 (detections that show nobody in full) is left out; identity 0 (people who are in no other split) stays
    in the gallery as a distractor.

    Args:
        source: the folder that holds the three folders.
        folders: split -> name of its folder.
        **kwargs: those of :class:`~vlprompt.datasets.reid.readers.base.ReIDReader`.
    """

    def __init__(self, source: Path, folders: dict[str, str] | None = None, **kwargs) -> None:
        self.folders = folders or FOLDERS
        if not kwargs.get('hint'):
            kwargs['hint'] = f'{source} must hold the folders {", ".join(self.folders.values())}.'
        super().__init__(source, source, **kwargs)

    @property
    def splits(self) -> tuple[str, ...]:
        self.require(self.source)
        return tuple(split for split, folder in self.folders.items() if (self.source / folder).is_dir())

    def place_of(self, split: str) -> Path:
        return self.source / self.folders[split]

    def load(self, split: str) -> list[ReIDItem]:
        items, others = read_named_folder(self.source / self.folders[split], self.folders[split])
        self.leave_out_files(split, others)
        return items


class VeRiReader(MarketReader):
    """VeRi-776 and the viewpoints of its images, if available.

    Viewpoints (eight) are published separately from the images, in ``keypoint_train.txt`` and ``keypoint_test.txt``
    (Zhongdao/VehicleReIDKeyPointData): lines that begin with the path of an image and end with its viewpoint.  With
    these files, images without a viewpoint are skipped in all splits, as in published results; without them, every
    image has viewpoint 0.
    """

    KEYPOINTS = ('keypoint_test.txt', 'keypoint_train.txt')  # an entry of the latter counts

    def __init__(self, source: Path, **kwargs) -> None:
        super().__init__(source, VERI_FOLDERS, **kwargs)

    @cached_property
    def views(self) -> dict[str, int] | None:
        """Viewpoint 0..7 of every image by its name; None without the files."""
        files = [self.source / name for name in self.KEYPOINTS]
        if not any(file.exists() for file in files):
            return None
        return {name: view for file in files for name, view in _read_views(self.require(file)).items()}

    @cached_property
    def num_views(self) -> int:
        return 1 if self.views is None else 8

    def load(self, split: str) -> list[ReIDItem]:
        items = super().load(split)
        if self.views is None:
            return items
        labelled = [
            item._replace(viewid=self.views[name]) for item in items if (name := Path(item.path).name) in self.views
        ]
        self.leave_out(split, 'images without a viewpoint', len(items) - len(labelled))
        return labelled

    def notes(self) -> list[str]:
        without = [f'{self.source}: no {" and ".join(self.KEYPOINTS)}, so every image has viewpoint 0']
        return super().notes() + (without if self.views is None else [])


def _read_views(file: Path) -> dict[str, int]:
    views: dict[str, int] = {}
    for place, line in read_lines(file):
        fields = line.split()
        view = whole_number(fields[-1], place)
        if len(fields) < 2 or view is None or view > 7:
            raise ValueError(f'{place}: a line must end with a viewpoint from 0 to 7, got {line!r}')
        views[Path(fields[0].replace('\\', '/')).name] = view
    return views
