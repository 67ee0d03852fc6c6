"""Few-shot experiments: methods x datasets x shots x seeds in one command, and their tables."""
