"""Fill a memory of centroids from all training images before every epoch (PCL-CLIP)."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vlprompt.engine.features import compute_features, labels_of_images
from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.hooks.start_from_features import images_as_in_a_test
from vlprompt.errors import ConfigError
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class CentroidMemoryHook(Hook):
    """Before every epoch, one pass over all training images for a re-identifier with ``centroids``.

    Images go through the test pipeline, the model is in eval mode; an epoch that was interrupted goes on with the
    centroids that it had.

    Args:
        batch_size: of the pass.

    Raises:
        ConfigError: a model without centroids, a training that does not run by epochs, a config without a test
            pipeline, or several processes without ``model.gather``, whose memories would drift apart.
    """

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        model = bare_model(runner)
        if getattr(model, 'centroids', None) is None:
            raise ConfigError(f'CentroidMemoryHook: {type(model).__name__} has no centroids: set model.centroids')
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ConfigError('CentroidMemoryHook: the memory is filled once an epoch; train with by_epoch=True')
        if runner.world_size > 1 and not model.gather:
            raise ConfigError(
                'several processes would each have a memory of centroids of their own: set model.gather=True'
            )
        self._images = images_as_in_a_test(runner)
        self._labels = labels_of_images(self._images)

    def before_train_epoch(self, runner: Runner) -> None:
        if getattr(runner.train_loop, 'batches', 0):  # a resumed epoch
            return
        model = bare_model(runner)
        found = compute_features(
            lambda batch: dict(image=model.normed_features(**batch).float()),
            model,
            self._images,
            self.batch_size,
            runner.cfg.train_dataloader.get('num_workers', 0),
        )
        model.centroids.fill(found['image'], self._labels)
