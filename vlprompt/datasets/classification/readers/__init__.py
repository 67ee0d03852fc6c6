"""Readers of classification data: from files on disk to lists of (path, label, class name)."""
