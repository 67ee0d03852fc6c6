"""Few-shot experiments: methods x datasets x shots x seeds in one command, and their tables."""

PROTOCOLS = ('all', 'base-to-new', 'transfer')
"""See :mod:`vlprompt.apis.few_shot.protocols`."""
