# PLOT: 4 contexts per class, matched with the local image tokens by optimal transport; 4 x 16 x 512 = 32,768 trained
# parameters.
#   vlprompt train plot_rn50 --dataset caltech101 --shots 16 --seed 1 --test
#   vlprompt run-seeds plot_rn50 --dataset dtd --shots 1 2 4 8 16 --seeds 1 2 3
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/few_shot.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    prompt=dict(
        type='vlprompt.ContextPrompt',
        n_prompts=4,  # N contexts per class: 1, 2, 4 or 8 in the paper
        n_ctx=16,  # vectors of a context
        position='end',
    ),
    alignment=dict(
        type='vlprompt.TransportAlignment',
        eps=0.1,  # entropy: larger is closer to the uniform plan
        method='fixed',  # the same number of iterations for every image; the published stop is 'legacy'
        max_iters=20,  # with 'legacy' 100
    ),
    trainable=['prompt.context'],
)
test_dataloader = dict(batch_size=200)

# The published recipe: epochs by shots, and for ImageNet whatever the shots; batches of 128, but for three datasets.
# On ImageNet, and there only, the published code adds the logits of the global feature.
recipes = [
    dict(
        train_cfg=dict(max_epochs=200), train_dataloader=dict(batch_size=128), auto_scale_lr=dict(base_batch_size=128)
    ),
    dict(max_shots=4, train_cfg=dict(max_epochs=100)),
    dict(max_shots=1, train_cfg=dict(max_epochs=50)),
    dict(
        dataset=('oxford_flowers', 'fgvc_aircraft', 'stanford_cars'),
        train_dataloader=dict(batch_size=32),
        auto_scale_lr=dict(base_batch_size=32),
    ),
    dict(
        dataset='imagenet*',
        train_cfg=dict(max_epochs=50),
        model=dict(alignment=dict(type='vlprompt.TransportAlignment', global_weight=1.0)),
    ),
]
