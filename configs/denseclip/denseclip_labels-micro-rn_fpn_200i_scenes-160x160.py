# Any backbone: the built-in ResNet pretrained on labels, a new attention pool, text of the built-in CLIP.
#   vlprompt train denseclip_labels-micro-rn_fpn_200i_scenes-160x160 --test
_base_ = './denseclip_micro-rn_fpn_200i_scenes-160x160.py'

model = dict(
    backbone=dict(
        trunk=dict(
            _delete_=True,
            type='vlprompt.AttentionPooledTrunk',
            image_size='${image_size}',
            trunk=dict(type='vlprompt.ClipTrunk', clip=dict(arch='micro-rn', weights='labels')),
        ),
    ),
)
