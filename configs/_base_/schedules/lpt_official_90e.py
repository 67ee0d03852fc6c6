# The values of the published phase-2 script: 90 epochs, the rate steps once an epoch, so the first runs at 1e-6.
_base_ = './lpt_40e.py'

param_scheduler = dict(convert_to_iter_based=False)
train_cfg = dict(max_epochs=90)
