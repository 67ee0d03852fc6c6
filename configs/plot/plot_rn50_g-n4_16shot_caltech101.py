# Ablation "G": every prompt matched to the global feature, logits averaged; no transport.
_base_ = './plot_rn50_16shot_caltech101.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.CosineAlignment', ensemble='logits'))
