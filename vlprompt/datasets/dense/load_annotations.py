"""Reading masks as mmseg does, with errors that name the file."""

from __future__ import annotations

from mmseg.datasets.transforms import LoadAnnotations

from vlprompt.datasets.dense.mask_size import require_mask_of_image
from vlprompt.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CheckedLoadAnnotations(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` for any of its datasets, which compares the mask with the image that was read.

    Comes after the image; a resize may lie between.

    Raises:
        OSError: the file cannot be read or decoded.
        ValueError: several channels, or another size than the image; the message names the file.
    """

    def _load_seg_map(self, results: dict) -> None:
        path = results['seg_map_path']
        try:
            super()._load_seg_map(results)
        except (OSError, SyntaxError) as error:  # the latter from damaged PNG files
            if isinstance(error, FileNotFoundError):
                raise
            raise OSError(f'mask {path} cannot be read: {error}') from error
        require_mask_of_image(results['gt_seg_map'], results)
