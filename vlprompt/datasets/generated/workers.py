"""Processes that draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pool
from multiprocessing.pool import Pool as ProcessPool

import cv2


@contextmanager
def drawing_pool(workers: int) -> Iterator[ProcessPool]:
    """A pool of processes with one OpenCV thread each.

    OpenCV's threads are ended before the processes are forked: a forked process that tries to end those of its parent
    waits for them for ever.

    Args:
        workers: processes.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            yield pool
    finally:
        cv2.setNumThreads(threads)
