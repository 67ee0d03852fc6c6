"""The published claims about the methods of this toolbox, tested on the built-in world: `tools/claims.py`."""

from vlprompt.apis.claims.claim import Claim, Comparison, Metric, Setting, verdict
from vlprompt.apis.claims.rows import CLAIMS

__all__ = ['CLAIMS', 'Claim', 'Comparison', 'Metric', 'Setting', 'verdict']
