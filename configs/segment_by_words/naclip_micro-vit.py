# NACLIP's local features of the built-in ViT, which needs no download, on the built-in world.
#   vlprompt test naclip_micro-vit
_base_ = './naclip_vit-b16.py'

dataset = 'scenes_seg'
windows = 'whole'  # the scenes are of the size that the tower was trained for
model = dict(clip=dict(arch='micro-vit', weights='scenes'), templates='a photo of a {}.', refine=None)
