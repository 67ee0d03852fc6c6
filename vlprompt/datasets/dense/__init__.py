"""Data for segmentation and detection; extends mmseg and mmdet, so configs name these modules in ``custom_imports``."""
