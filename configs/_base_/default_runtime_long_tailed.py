# A long-tailed run: class counts reach the losses, the log shows how prompt groups are used.
_base_ = './default_runtime.py'

default_hooks = dict(
    class_counts=dict(type='vlprompt.ClassCountHook'),
    stream_weight=dict(type='vlprompt.StreamWeightHook'),
    prompt_usage=dict(type='vlprompt.PromptUsageHook'),
    frozen_features=dict(type='vlprompt.FrozenFeatureHook', images_per_class=100),
)
log_processor = dict(mean_pattern=r'.*(loss|time|data_time|grad_norm).*|^accuracy(_uniform)?$')
