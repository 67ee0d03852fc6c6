# Shared by all detection runs: mmdet's scope, batch statistics over all GPUs.
_base_ = './default_runtime.py'

default_scope = 'mmdet'
custom_imports = dict(imports=['vlprompt.models.detectors', 'vlprompt.datasets.dense.coco_instances'])

default_hooks = dict(
    runtime_info=dict(type='vlprompt.RuntimeInfoHook'),
    logger=dict(interval=50),
    num_classes=dict(type='NumClassCheckHook'),  # of baselines, whose heads say it themselves
)
log_processor = dict(window_size=50)
visualizer = dict(type='DetLocalVisualizer', name='visualizer')

# Every batch norm, that of the backbone too, once several GPUs train together; one process keeps plain batch norm.
sync_bn = 'torch'
test_cfg = dict()
