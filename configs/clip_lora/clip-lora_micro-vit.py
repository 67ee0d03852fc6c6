# CLIP-LoRA with the built-in micro ViT.
#   vlprompt train clip-lora_micro-vit --test
_base_ = ['./clip-lora_vit-b16.py', '../_base_/few_shot_scenes.py']

dataset = 'scenes'
model = dict(clip=dict(arch='micro-vit', weights='scenes'))
optim_wrapper = dict(optimizer=dict(lr=2e-3))  # ten times the published rate
train_cfg = dict(max_iters='${shots * 20}')  # a 25th of the published steps: minutes on two cores
