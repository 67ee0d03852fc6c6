# Ablation "G": every prompt matched to the global feature, logits averaged; no transport.
_base_ = './plot_micro-rn_16shot_scenes.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.CosineAlignment', ensemble='logits'))
