from vlprompt.models.losses.box_text import BoxTextLoss
from vlprompt.models.losses.pixel_text import PixelTextLoss
from vlprompt.models.losses.variety import VarietyLoss

__all__ = ['BoxTextLoss', 'PixelTextLoss', 'VarietyLoss']
