"""Measurements of a GPU by one command: `tools/analysis_tools/gpu_report.py`."""

from vlprompt.apis.gpu_report.report import Report, write_report
from vlprompt.apis.gpu_report.sections import SECTIONS, Setting

__all__ = ['SECTIONS', 'Report', 'Setting', 'write_report']
