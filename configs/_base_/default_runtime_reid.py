_base_ = './default_runtime.py'

default_hooks = dict(data_check=dict(type='vlprompt.DataCheckHook'))
