from vlprompt.models.losses.variety import VarietyLoss

__all__ = ['VarietyLoss']
