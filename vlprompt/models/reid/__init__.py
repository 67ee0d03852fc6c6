"""Re-identification: the two phases of CLIP-ReID and its baseline."""

from vlprompt.models.reid.prompt_learner import CachedFeaturePreprocessor, IdentityPromptLearner
from vlprompt.models.reid.reidentifier import ReIdentifier

__all__ = ['CachedFeaturePreprocessor', 'IdentityPromptLearner', 'ReIdentifier']
