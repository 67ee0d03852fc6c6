_base_ = './visual_vit-b16-in21k.py'

# LPT, shared by both phases: deep prompts, cosine head, A-GCL on a class-balanced and a uniform stream.
model = dict(
    tuner=dict(type='vlprompt.PromptTuner', prompt=dict(type='vlprompt.VisualPrompt', length=10)),
    head=dict(type='vlprompt.CosineHead', dropout=0.1),
    loss=dict(
        type='vlprompt.DualStreamLoss',
        balanced=dict(type='vlprompt.AGCLLoss', gamma_pos=0.0, gamma_neg=4.0),
        uniform=dict(type='vlprompt.AGCLLoss', gamma_pos=0.5, gamma_neg=8.0),
        eta=0.5,  # weight of the uniform stream in the first epoch
    ),
    trainable=['tuner.*', 'head.*'],
)
# Phase 1 learns the shared prompts. Phase 2 freezes them, continues with the head, and learns 20 groups of prompts for
# the last 6 blocks with their keys: 921,600 + 15,360 parameters more.
phases = dict(
    shared=dict(),
    groups=dict(
        start_from=dict(keys=['tuner.prompt.*', 'head.*']),
        model=dict(
            tuner=dict(
                type='vlprompt.GroupedPromptTuner',
                pool=dict(type='vlprompt.PromptPool', size=20, length=10, first_block=6, topk=2),
            ),
            trainable=['tuner.pool.*', 'head.*'],
        ),
    ),
)
