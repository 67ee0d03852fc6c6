_base_ = './classifier_rn50.py'

# CoOp: 16 x 512 = 8,192 trained parameters.
model = dict(
    prompt=dict(type='vlprompt.ContextPrompt', n_prompts=1, n_ctx=16, position='end'),
    alignment=dict(type='vlprompt.CosineAlignment'),
    trainable=['prompt.context'],
)
