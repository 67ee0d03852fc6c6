"""Few-shot classifiers that are computed from cached features of frozen towers, one file a solver."""

from vlprompt.solvers.base import Shots, Solver, class_weights
from vlprompt.solvers.clap import CLAP
from vlprompt.solvers.gda import GDA
from vlprompt.solvers.linear_probe import LinearProbe
from vlprompt.solvers.lpp import LPPlusPlus
from vlprompt.solvers.plot_adapter import PlotAdapter
from vlprompt.solvers.proker import ProKeR
from vlprompt.solvers.tip_adapter import TipAdapter, TipAdapterF
from vlprompt.solvers.tuning import Tuned, describe_fit, tune

__all__ = [
    'CLAP',
    'GDA',
    'LPPlusPlus',
    'LinearProbe',
    'PlotAdapter',
    'ProKeR',
    'Shots',
    'Solver',
    'TipAdapter',
    'TipAdapterF',
    'Tuned',
    'class_weights',
    'describe_fit',
    'tune',
]
