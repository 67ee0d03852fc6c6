# Free classes: pixels are compared with text to the end, so that other names can be given after training.
#   tools/dist_train.sh configs/denseclip/denseclip_r50_fpn_open_80k_ade20k-512x512.py 8
_base_ = './denseclip_r50_fpn_80k_ade20k-512x512.py'

model = dict(
    type='vlprompt.OpenDenseCLIP',
    backbone=dict(score_concat=None),
    decode_head=dict(type='vlprompt.TextFPNHead', in_index=[1, 2, 3, 4]),  # input 0 is the text
)
