# Shared by all segmentation runs: mmseg's scope, iterations instead of epochs, batch statistics over all GPUs.
_base_ = './default_runtime.py'

default_scope = 'mmseg'
custom_imports = dict(
    imports=[
        'vlprompt.models.segmentors',
        'vlprompt.datasets.dense.folder_seg',
        'vlprompt.datasets.dense.open_vocabulary',
    ]
)

default_hooks = dict(
    runtime_info=dict(type='vlprompt.RuntimeInfoHook'),
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=8000),
)
log_processor = dict(window_size=50, by_epoch=False)
visualizer = dict(type='SegLocalVisualizer', name='visualizer')
tta_model = dict(type='SegTTAModel')

# Every batch norm, that of the backbone too, once several GPUs train together; one process keeps plain batch norm.
sync_bn = 'torch'
env_cfg = dict(cudnn_benchmark=True)
test_cfg = dict()
