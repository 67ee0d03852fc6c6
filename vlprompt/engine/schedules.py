"""Interim."""


def follow_training_length(schedulers, train_cfg):
    items = schedulers if isinstance(schedulers, (list, tuple)) else [schedulers] if schedulers else []
    for s in items:
        if s.get('type', '').endswith('CosineLR') and s.get('T_max') is None:
            s['T_max'] = train_cfg.get('max_epochs') or train_cfg.get('max_iters')
