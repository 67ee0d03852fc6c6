# CoCoOp with the built-in micro ViT, in larger batches than published.
#   python tools/train.py configs/cocoop/cocoop_micro-vit.py --test
_base_ = './cocoop_vit-b16.py'

dataset = 'scenes'
image_size = 128
crop_scale = (0.5, 1.0)
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
