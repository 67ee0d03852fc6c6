from vlprompt.models.losses.box_text import BoxTextLoss
from vlprompt.models.losses.dual_streams import DualStreamLoss
from vlprompt.models.losses.long_tailed import AGCLLoss, LogitAdjustedLoss
from vlprompt.models.losses.pixel_text import PixelTextLoss
from vlprompt.models.losses.variety import VarietyLoss

__all__ = ['AGCLLoss', 'BoxTextLoss', 'DualStreamLoss', 'LogitAdjustedLoss', 'PixelTextLoss', 'VarietyLoss']
