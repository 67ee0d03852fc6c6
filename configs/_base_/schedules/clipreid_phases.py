# The two phases of CLIP-ReID: prompts on features of the frozen towers, then the image tower with the schedule of the
# baseline, in the file beside this one. The method sets the number of epochs of the prompts.
phases = dict(
    prompts=dict(
        model=dict(
            _keep_=['clip', 'data_preprocessor', 'gather'],
            type='vlprompt.IdentityPromptLearner',
            prompt=dict(type='vlprompt.IdentityPrompt', n_ctx=4),
            data_preprocessor=dict(type='vlprompt.CachedFeaturePreprocessor'),
        ),
        # Every image is read once, as in a test; then come batches of features in random order.
        train_dataloader=dict(
            sampler=dict(_delete_=True, type='DefaultSampler', shuffle=False),
            dataset=dict(pipeline='${test_pipeline}'),
        ),
        optim_wrapper=dict(
            _delete_=True,
            type='OptimWrapper',
            constructor='vlprompt.PatternOptimWrapperConstructor',
            optimizer=dict(type='Adam', lr=3.5e-4, weight_decay=1e-4),
        ),
        param_scheduler=[dict(type='vlprompt.LinearWarmupCosineLR', warmup=5, warmup_lr=1e-5, eta_min=1e-6)],
        train_cfg=dict(_delete_=True, type='vlprompt.FeatureTrainLoop', store='work_dirs/image_features'),
    ),
    finetune=dict(
        model=dict(weights=dict(i2t=1.0)),
        start_from=dict(keys=['prototypes']),
    ),
)
