# One pass over the training images, then the solver is fitted to their features at once.
train_cfg = dict(
    type='vlprompt.FitLoop',
    # Images that choose hyper-parameters: 'none': those of the config; 'few': min(shots, 4) of the validation split per
    # class; 'shots': as many as for training; 'full': the whole split. Images of the test set are refused.
    tune='none',
    store='work_dirs/image_features',  # computed once for all solvers; None keeps them in memory
)
optim_wrapper = dict(constructor='vlprompt.NothingToOptimize')
