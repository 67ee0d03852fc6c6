# A long-tailed run, whose images all have one size; the log shows how prompt groups are used.
_base_ = './default_runtime.py'

default_hooks = dict(prompt_usage=dict(type='vlprompt.PromptUsageHook'))
env_cfg = dict(cudnn_benchmark=True)
log_processor = dict(mean_pattern=r'.*(loss|time|data_time|grad_norm).*|^accuracy(_uniform)?$')
