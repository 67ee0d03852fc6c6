"""What every run does alike, once for all: see :class:`vlprompt.apis.few_shot.execute.Pool`.

The process that runs are forked from imports all they need, reads the vocabulary of the tokenizer, and freezes these
objects: the garbage collector of a run, which mmengine calls for every dataset, then looks at the run's own objects
alone and copies no page of the common ones.
"""

import gc

import vlprompt.alignment
import vlprompt.datasets
import vlprompt.engine
import vlprompt.evaluation
import vlprompt.models
import vlprompt.prompts
import vlprompt.visualization
from vlprompt.apis import runs
from vlprompt.clip.text.tokenizer import bpe_lengths

__all__ = ['runs', 'vlprompt']

bpe_lengths(['a photo'])
gc.collect()
gc.freeze()
