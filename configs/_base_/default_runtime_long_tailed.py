# A long-tailed run: the log shows how prompt groups are used.
_base_ = './default_runtime.py'

default_hooks = dict(prompt_usage=dict(type='vlprompt.PromptUsageHook'))
log_processor = dict(mean_pattern=r'.*(loss|time|data_time|grad_norm).*|^accuracy(_uniform)?$')
