# PLOT-Adapter: PLOT's prompts are trained first, then the keys of a cache that is matched with local features.
#   vlprompt train plot-adapter_rn50 --dataset caltech101 --shots 16 --seed 1 --test
_base_ = ['../_base_/models/clip_rn50.py', '../_base_/schedules/fit.py', '../_base_/default_runtime.py']

dataset, shots = 'caltech101', 16
model = dict(
    type='vlprompt.FeatureClassifier',
    prompt=dict(type='vlprompt.ContextPrompt', n_prompts=4, n_ctx=16, position='end'),
    zero_shot=dict(type='vlprompt.TemplatePrompt'),
    solver=dict(
        type='vlprompt.PlotAdapter',
        views=10,  # augmented views of every training image: their mean makes the keys, and epochs see them in turn
        eps=0.3,  # entropy of the plan between local features and keys
        method='fixed',  # 'legacy' with max_iters=100 is the published stop
        prompt_weight=0.5,  # of PLOT's logits
        lr=1e-3,
        batch_size=256,
    ),
)
train_cfg = dict(half=True)  # 50 tokens of every view

# Phase prompts is configs/plot/plot_rn50.py; it crops closer than the cache does.
phases = dict(
    prompts=dict(
        model=dict(
            _keep_=['clip', 'class_names', 'data_preprocessor'],
            type='vlprompt.TextClassifier',
            prompt=dict(type='vlprompt.ContextPrompt', n_prompts=4, n_ctx=16, position='end'),
            alignment=dict(type='vlprompt.TransportAlignment', eps=0.1, method='fixed', max_iters=20),
            trainable=['prompt.context'],
        ),
        optim_wrapper=dict(
            _delete_=True,
            type='OptimWrapper',
            constructor='vlprompt.PatternOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=2e-3, momentum=0.9, weight_decay=5e-4),
        ),
        param_scheduler=[dict(type='vlprompt.WarmupCosineLR', warmup_epochs=1, warmup_lr=1e-5)],
        train_cfg=dict(_delete_=True, by_epoch=True),
    ),
    adapter=dict(
        start_from=dict(keys=['prompt.context']),
        train_dataloader=dict(dataset=dict(pipeline='${cache_pipeline}')),
    ),
)
cache_pipeline = [
    '${keep_image}',
    dict(type='vlprompt.RandomResizedCrop', size='${image_size}', scale=(0.5, 1.0), interpolation='${interpolation}'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]

# The published table by dataset: beta, alpha, the grids of both for train_cfg.tune, and epochs of the keys. Prompts: as
# PLOT, epochs by shots.
recipes = [
    dict(
        model=dict(
            zero_shot=dict(templates='${templates}'),
            solver=dict(beta=1.0, alpha=2.17, search_scale=(3, 7), search_step=(20, 200), epochs=20),
        ),
        phases=dict(
            prompts=dict(
                train_cfg=dict(max_epochs=200),
                train_dataloader=dict(batch_size=128),
                auto_scale_lr=dict(base_batch_size=128),
            )
        ),
    ),
    dict(max_shots=6, phases=dict(prompts=dict(train_cfg=dict(max_epochs=100)))),
    dict(max_shots=1, phases=dict(prompts=dict(train_cfg=dict(max_epochs=50)))),
    dict(
        dataset=('oxford_flowers', 'fgvc_aircraft', 'stanford_cars'),
        phases=dict(
            prompts=dict(train_dataloader=dict(batch_size=32), auto_scale_lr=dict(base_batch_size=32)),
        ),
    ),
    dict(dataset='caltech101', model=dict(solver=dict(beta=0.16, alpha=1.82, search_scale=(12, 10)))),
    dict(
        dataset='dtd',
        model=dict(solver=dict(beta=0.1, alpha=7.2, search_scale=(13, 13), search_step=(200, 20))),
    ),
    dict(
        dataset='eurosat',
        model=dict(solver=dict(beta=3.67, alpha=0.1, search_scale=(12, 10), search_step=(200, 20), epochs=100)),
    ),
    dict(dataset='fgvc_aircraft', model=dict(solver=dict(beta=1.4, alpha=1.4, search_scale=(7, 10)))),
    dict(
        dataset='food101',
        model=dict(solver=dict(beta=0.1, alpha=4.06, search_scale=(10, 10), search_step=(20, 20), epochs=5)),
    ),
    dict(dataset='oxford_flowers', model=dict(solver=dict(beta=2.32, alpha=0.2, search_scale=(3, 20), epochs=80))),
    dict(dataset='oxford_pets', model=dict(solver=dict(beta=0.1, alpha=1.0, search_scale=(7, 7)))),
    dict(
        dataset='stanford_cars',
        model=dict(solver=dict(beta=0.1, alpha=8.0, search_scale=(20, 10), search_step=(200, 20))),
    ),
    dict(
        dataset='sun397',
        model=dict(solver=dict(beta=6.8, alpha=0.1, search_scale=(12, 10), search_step=(20, 20))),
    ),
    dict(
        dataset='ucf101',
        model=dict(solver=dict(beta=5.59, alpha=0.1, search_scale=(7, 3), search_step=(200, 20))),
    ),
    dict(
        dataset='imagenet*',
        model=dict(zero_shot=dict(templates='ensemble-7')),
        phases=dict(
            prompts=dict(
                train_cfg=dict(max_epochs=50),
                model=dict(alignment=dict(type='vlprompt.TransportAlignment', global_weight=1.0)),
            )
        ),
    ),
]
