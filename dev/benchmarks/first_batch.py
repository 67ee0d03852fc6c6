"""A module for ``custom_imports`` of a config: its first batch ends the process, see ``start_up.py``."""

import os
import time
from typing import Any, NoReturn

from mmengine.model import BaseModel


def end(*_: Any, **__: Any) -> NoReturn:
    """Print the seconds of the processor so far, and end the process, data workers aside."""
    print(f'first batch: {time.process_time():.3f}', flush=True)
    os._exit(0)


BaseModel.train_step = BaseModel.val_step = BaseModel.test_step = end
