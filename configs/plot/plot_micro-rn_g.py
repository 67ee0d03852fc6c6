# Ablation "G": every prompt matched to the global feature, logits averaged; no transport.
#   vlprompt train plot_micro-rn_g --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_micro-rn.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.CosineAlignment', ensemble='logits'))
