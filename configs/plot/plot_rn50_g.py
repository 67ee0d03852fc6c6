# Ablation "G": every prompt matched to the global feature, logits averaged; no transport.
#   vlprompt train plot_rn50_g --dataset caltech101 --test --cfg-options model.prompt.n_prompts=4
_base_ = './plot_rn50.py'

model = dict(alignment=dict(_delete_=True, type='vlprompt.CosineAlignment', ensemble='logits'))
