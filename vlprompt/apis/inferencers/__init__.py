"""Models for images of any kind: one class for each task, :func:`vlprompt.apis.init_inferencer` for all of them.

Import them from :mod:`vlprompt.apis`.
"""
