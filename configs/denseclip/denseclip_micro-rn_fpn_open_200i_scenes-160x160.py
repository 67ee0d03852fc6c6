# Free classes: pixels are compared with text to the end, so that other names can be given after training.
#   vlprompt train denseclip_micro-rn_fpn_open_200i_scenes-160x160 --test
_base_ = './denseclip_micro-rn_fpn_200i_scenes-160x160.py'

model = dict(
    type='vlprompt.OpenDenseCLIP',
    backbone=dict(score_concat=None),
    decode_head=dict(type='vlprompt.TextFPNHead', in_index=[1, 2, 3, 4]),  # input 0 is the text
)
