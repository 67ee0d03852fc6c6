"""Child registries of mmengine's under the scope ``vlprompt``: the only file that names the parents.

A type is found as ``type='vlprompt.Name'`` from any default scope, or as ``type='Name'`` under
``default_scope='vlprompt'``. The ``locations`` are imported on the first look-up, so they name only packages that
register something. None of them imports mmseg, mmdet or matplotlib (which would cost every classification run
seconds): packages that extend the first two are named by their configs in ``custom_imports``.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

# Running: the runner, its loops and hooks, logging.
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, locations=['vlprompt.engine'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, locations=['vlprompt.engine'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, locations=['vlprompt.engine'])
LOG_PROCESSORS = Registry('log_processor', parent=MMENGINE_LOG_PROCESSORS, locations=['vlprompt.engine'])

# Models: task models and their parts.
MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    locations=['vlprompt.models', 'vlprompt.prompts', 'vlprompt.alignment', 'vlprompt.solvers'],
)

# Optimisation.
OPTIM_WRAPPERS = Registry('optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, locations=['vlprompt.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    locations=['vlprompt.engine'],
)
PARAM_SCHEDULERS = Registry('parameter scheduler', parent=MMENGINE_PARAM_SCHEDULERS, locations=['vlprompt.engine'])

# Data.
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, locations=['vlprompt.datasets'])
DATA_SAMPLERS = Registry('data sampler', parent=MMENGINE_DATA_SAMPLERS, locations=['vlprompt.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, locations=['vlprompt.datasets'])

# Measuring.
METRICS = Registry('metric', parent=MMENGINE_METRICS, locations=['vlprompt.evaluation'])

# What a run shows.
VISUALIZERS = Registry('visualizer', parent=MMENGINE_VISUALIZERS, locations=['vlprompt.engine'])

# mmengine looks these up in the scope of every run and warns if a scope has none. Nothing is registered in them.
EVALUATOR = Registry('evaluator', parent=MMENGINE_EVALUATOR, locations=['vlprompt'])
MODEL_WRAPPERS = Registry('model_wrapper', parent=MMENGINE_MODEL_WRAPPERS, locations=['vlprompt'])
OPTIMIZERS = Registry('optimizer', parent=MMENGINE_OPTIMIZERS, locations=['vlprompt'])
VISBACKENDS = Registry('vis_backend', parent=MMENGINE_VISBACKENDS, locations=['vlprompt'])
WEIGHT_INITIALIZERS = Registry('weight initializer', parent=MMENGINE_WEIGHT_INITIALIZERS, locations=['vlprompt'])
