"""What every run imports, once for all: see :class:`vlprompt.apis.few_shot.execute.Pool`."""

import vlprompt.alignment
import vlprompt.datasets
import vlprompt.engine
import vlprompt.evaluation
import vlprompt.models
import vlprompt.prompts
import vlprompt.visualization
from vlprompt.apis import runs

__all__ = ['runs', 'vlprompt']
