_base_ = './classifier_rn50.py'

# PLOT: 4 x 16 x 512 = 32,768 trained parameters.
model = dict(
    prompt=dict(type='vlprompt.ContextPrompt', n_prompts=4, n_ctx=16, position='end'),
    alignment=dict(type='vlprompt.TransportAlignment', eps=0.1, method='fixed', max_iters=20),
    trainable=['prompt.context'],
)
