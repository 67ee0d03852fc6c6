from vlprompt.models.classifiers.feature_classifier import FeatureClassifier
from vlprompt.models.classifiers.head_classifier import HeadClassifier
from vlprompt.models.classifiers.self_regulated import SelfRegulatedClassifier
from vlprompt.models.classifiers.text_classifier import TextClassifier

__all__ = ['FeatureClassifier', 'HeadClassifier', 'SelfRegulatedClassifier', 'TextClassifier']
