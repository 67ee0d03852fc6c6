# Shared by all classification runs: the runner, hooks, log lines, environment and seed.
default_scope = 'vlprompt'
runner_type = 'vlprompt.PromptRunner'

default_hooks = dict(
    # On a GPU numbers of the steps are read once for a line of the log; read_every: after so many steps at the latest.
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    data=dict(type='vlprompt.DataHook'),
    progress=dict(type='vlprompt.ProgressHook'),
    start_from_features=dict(type='vlprompt.StartFromFeaturesHook', images_per_class=100),
    iteration_seed=dict(type='vlprompt.IterationSeedHook'),
    # Ends a training whose loss, gradient or weights are NaN or infinite; skip: so many batches are left out instead.
    non_finite=dict(type='vlprompt.NonFiniteHook', skip=0),
    resuming=dict(type='vlprompt.ResumeHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The newest checkpoint only; official recipes test the last epoch.
    checkpoint=dict(type='vlprompt.CheckpointHook', interval=1, max_keep_ckpts=1),
)

log_processor = dict(
    type='vlprompt.PromptLogProcessor',
    window_size=10,
    by_epoch=True,
    # Averaged over the window: mmengine's scalars, and those that a classifier logs for every training batch.
    mean_pattern=r'.*(loss|time|data_time|grad_norm).*|^accuracy$|^plan_entropy$',
)
log_level = 'INFO'
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])

env_cfg = dict(
    cudnn_benchmark=False,  # True: try which convolution is fastest, for images of one size
    # tf32=False: products of float32 on a GPU at full precision; by default they may be in TF32.
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),  # gloo without a GPU
)
randomness = dict(seed=1, deterministic=False)

load_from = None
resume = False
