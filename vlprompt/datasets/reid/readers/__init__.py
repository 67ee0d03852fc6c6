"""Readers of re-identification data: from files on disk to lists of (path, identity, camera, viewpoint)."""
