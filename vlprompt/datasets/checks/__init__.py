"""Facts about data: what a run and ``check_dataset.py`` say about the images that they are given.

A dataset or a reader is seen as parts, lists of images with what is annotated (:mod:`.parts`, :mod:`.views`).  Checks
are functions of these lists: cheap ones (:mod:`.lists`, :mod:`.classes`, :mod:`.identities`, :mod:`.boxes`), and costly
ones that read files (:mod:`.files`, :mod:`.masks`); :mod:`.examine` calls them all.
"""
