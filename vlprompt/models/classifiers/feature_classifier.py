"""Classification of frozen features by a solver: Tip-Adapter, GDA, ProKeR, LP++, CLAP, a linear probe, PLOT-Adapter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from vlprompt.clip import ClipFeatures, build_clip
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.errors import CheckpointError, ConfigError
from vlprompt.messages import enumerate_names
from vlprompt.models.classifiers.base import Classifier, ConfigType, named_classes, scored_samples
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.models.preprocessors import preprocessor_for
from vlprompt.registry import MODELS
from vlprompt.solvers import Shots, Solver, class_weights, describe_fit, tune
from vlprompt.structures import ClassificationSample


@MODELS.register_module()
class FeatureClassifier(Classifier):
    """A frozen CLIP whose features a solver classifies, fitted once to features of the training images.

    Flow of a prediction::

        image_features   images (B, 3, H, W) -> clip.visual -> (B, D), or tokens (B, 1 + M, D)
        text_features    class names -> prompt -> clip.text -> class weights (K, D)
        solver           both -> logits (B, K)

    It has no loss: :class:`~vlprompt.engine.FitLoop` calls :meth:`fit`.  A checkpoint holds the solver's tensors.

    Attributes:
        fit_report: how it was fitted: solver, level of the tuning, what was chosen; None before.

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`: ``arch``, ``weights``, ...
        prompt: config of a :class:`~vlprompt.prompts.TemplatePrompt`; for a solver that ``needs_prompts`` that of
            learned prompts, such as a :class:`~vlprompt.prompts.ContextPrompt`, which stay as they are.
        solver: config of a :class:`~vlprompt.solvers.Solver`.
        class_names: K names, or the name of a dataset; if left out, those of the data.
        zero_shot: config of the :class:`~vlprompt.prompts.TemplatePrompt` of the zero-shot classifier, if ``prompt``
            holds learned prompts.
        data_preprocessor: config of the preprocessor that turns uint8 images into normalised batches; None: with the
            mean and deviation of the weights.
        init_cfg: mmengine's; unused here, since weights come through ``clip``.

    Raises:
        ValueError: no class names, one too long for the context, a prompt that learns where it must be fixed or that
            looks at images, or a form of local features that nothing reads.
    """

    nested = dict(clip=build_clip)
    data_arguments = ('class_names',)

    def __init__(
        self,
        clip: ConfigType,
        prompt: ConfigType,
        solver: ConfigType,
        class_names: str | Sequence[str] | None = None,
        zero_shot: ConfigType | None = None,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        towers = build_clip(**clip)
        super().__init__(data_preprocessor or preprocessor_for(towers.preprocessing), init_cfg)
        self.clip = towers
        self.scale = towers.logit_scale.exp().item()  # a number of the host, read once
        names = named_classes(class_names, 'FeatureClassifier')
        self.names_follow_data = isinstance(class_names, str)
        self.prompt = MODELS.build(prompt, default_args=dict(class_names=names, text=self.clip.text))
        self.solver: Solver = MODELS.build(solver)
        kind = type(self.solver).__name__
        if self.solver.needs_prompts != (zero_shot is not None):
            needs = 'needs learned prompts as model.prompt and templates as' if zero_shot is None else 'has no use for'
            raise ValueError(f'FeatureClassifier: {kind} {needs} model.zero_shot')
        if not self.solver.needs_local:
            refuse_unread_local(self.clip.visual, f'{kind} reads global features alone')
        self.zero_shot = self.prompt
        if zero_shot is not None:
            self.zero_shot = MODELS.build(zero_shot, default_args=dict(class_names=names, text=self.clip.text))
        if self.prompt.needs_image or list(self.zero_shot.parameters()):
            raise ValueError(
                'FeatureClassifier: text features must be fixed, but '
                f'{(zero_shot or prompt)["type"]} learns them: take vlprompt.TemplatePrompt'
            )
        self.fit_report: dict[str, Any] | None = None
        self._text_cache = FeatureCache()
        self._fitted_names: tuple[str, ...] | None = None
        self._class_names = self.prompt.class_names
        # Of classes that are some of those fitted, the positions among these; several for a name that occurs so often.
        self._columns: list[list[int]] | None = None
        self._of_other_classes: list[Solver] = []  # at most one; no submodule, since it is in no checkpoint
        self.freeze([])

    # ------------------------------------------------------------------------------------------------------- classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K class names, in the order of the logits."""
        return self._class_names

    def set_class_names(self, class_names: str | Sequence[str]) -> None:
        """Classify among other classes from now on: some of those that the solver was fitted to, or any if it can.

        Raises:
            ConfigError: there are classes that it was not fitted to, and it has no rule for them.
        """
        self._use_classes(tuple(named_classes(class_names, 'FeatureClassifier')))

    def accepts_class_names(self, class_names: Sequence[str]) -> bool:
        """Whether the solver was fitted to these classes, or has a rule for others."""
        fitted = self._fitted_names
        return fitted is None or set(class_names) <= set(fitted) or self.solver.takes_other_classes

    def _use_classes(self, names: tuple[str, ...]) -> None:
        fitted = self._fitted_names
        self._columns = None
        if fitted is not None and names != fitted and set(names) <= set(fitted):
            self._columns = [[i for i, other in enumerate(fitted) if other == name] for name in names]
        elif fitted not in (None, names) and not self.solver.takes_other_classes:
            unknown = [name for name in names if name not in set(fitted)]
            verb = 'is' if len(unknown) == 1 else 'are'
            raise ConfigError(
                f'{type(self.solver).__name__} was fitted to {len(fitted)} classes and classifies among these alone, '
                f'but {enumerate_names(map(repr, unknown), 3)} {verb} not among them: fit it to the classes at hand. '
                'For new classes without images take GDA with model.solver.keep_rows=True (configs/gda)'
            )
        for prompt in {self.prompt, self.zero_shot}:
            prompt.set_class_names(names if self._columns is None else fitted)
        self._class_names = names
        self._text_cache.clear()
        self._of_other_classes.clear()

    # ------------------------------------------------------------------------------------------------------ features

    def image_features(self, inputs: Tensor) -> Tensor:
        """Features of normalised images (B, 3, H, W), not normalised: (B, D), or (B, 1 + M, D), the global and the M
        local ones, for a solver that ``needs_local``.
        """
        self.warn_of_other_size(inputs, self.clip.visual)
        return self._tokens(self.clip.encode_image(inputs, local=self.solver.needs_local, maps=False))

    def _tokens(self, features: ClipFeatures) -> Tensor:
        return torch.cat([features.cls.unsqueeze(1), features.local], 1) if self.solver.needs_local else features.cls

    def text_features(self) -> Tensor:
        """(K, D) class weights as the solver takes them; (1 + P, K, D), with the P learned prompts after them, for a
        solver that ``needs_prompts``.
        """
        text = self._text_cache(self._encode, (self.prompt, self.zero_shot, self.clip.text)).float()
        templates = self.zero_shot.n_prompts
        weights = class_weights(text[:templates], self.solver.raw_text)
        return torch.cat([weights.unsqueeze(0), text[templates:]]) if self.solver.needs_prompts else weights

    def _encode(self) -> Tensor:
        """(P, K, D) text features of the templates, then of learned prompts; not normalised."""
        prompts = [self.zero_shot, *([self.prompt] if self.solver.needs_prompts else [])]
        return torch.cat([prompt.encode(self.clip.text) for prompt in prompts])

    def train(self, mode: bool = True) -> FeatureClassifier:
        self._text_cache.clear()
        self._of_other_classes.clear()
        return super().train(mode)

    # ------------------------------------------------------------------------------------------------------- fitting

    @torch.no_grad()
    def fit(
        self, features: Tensor, labels: Tensor, seed: int, tuning: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Any]:
        """Fit the solver to features of the training images.

        Args:
            features: (N, A, D), A views of N images, not normalised.
            labels: (N,).
            seed: of what the solver draws at random.
            tuning: (V, D) features, not normalised, and (V,) labels of validation images, to choose hyper-parameters.

        Returns:
            Numbers for the log: accuracy on the training images, and, if tuned, on the validation images and the
            settings that were chosen.

        Raises:
            ConfigError: the solver cannot be fitted to these, or has nothing to tune.
        """
        if tuning is not None and not self.solver.grid:
            raise ConfigError(f'{type(self.solver).__name__} has nothing to tune: set train_cfg.tune=none')
        text = self.text_features()
        try:
            shots = Shots(features.float(), labels, text, self.scale, seed)
            tuned = None
            if tuning is None:
                self.solver.fit(shots)
            else:
                tuned = tune(self.solver, shots, tuning[0].float(), tuning[1])
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._fitted_names = self.class_names
        chosen = {} if tuned is None else dict(tuned.setting, tuning_accuracy=tuned.accuracy)
        parts = [self.solver(part, text, self.scale).argmax(1) for part in shots.features[:, 0].split(1024)]
        return dict(accuracy=(torch.cat(parts) == labels).double().mean().item() * 100, **chosen)

    def meet_checkpoint(self, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> set[str]:
        """Make room for the tensors of a fitted solver, whose sizes follow from the data it was fitted to.

        Args:
            state: tensors of the checkpoint by name.
            about: its description of the model.

        Returns:
            Names of tensors that it may lack: those that a converted cache leaves to the config.

        Raises:
            CheckpointError: it holds no fitted solver of this type, or a cache of another tower or other classes.
            ConfigError: it was fitted to other classes, and the solver has no rule for those at hand.
        """
        own = {name.removeprefix('solver.'): t for name, t in state.items() if name.startswith('solver.')}
        absent = [name for name in self.solver.fitted if name not in own]
        left = [name for name in absent if 'cache' in about and name in self.solver.from_config]
        if absent := [name for name in absent if name not in left]:
            raise CheckpointError(
                f'the checkpoint holds no fitted {type(self.solver).__name__}: it lacks solver.{absent[0]}. '
                'Use the config that it was trained with'
            )
        if cache := about.get('cache'):
            self._check_cache(cache)
        self.solver.make_room(own, self.clip.logit_scale.device)
        if left:
            values = ', '.join(f'{name.removesuffix("_")}={getattr(self.solver, name).item():g}' for name in left)
            print_log(f'The checkpoint leaves {values} to the config.', 'current')
        self._fitted_names = tuple(about.get('class_names') or self.class_names)
        self._use_classes(self.class_names)
        self.fit_report = dict(about.get('fit') or {}) or None
        if self.fit_report:
            print_log(f'Fitted: {describe_fit(self.fit_report)}', 'current')
            theirs, ours = self.fit_report.get('templates'), list(self.zero_shot.templates)
            if theirs not in (None, ours):
                print_log(
                    f'The solver was fitted with the templates {theirs}, the model has {ours}: set templates to the '
                    'former unless this is meant.',
                    'current',
                    logging.WARNING,
                )
        return {f'solver.{name}' for name in left}

    def _check_cache(self, cache: Mapping[str, int]) -> None:
        """Raise unless a converted cache has the width of the towers and as many classes as there are."""
        theirs, ours = (cache.get('width'), cache.get('classes')), (self.clip.embed_dim, len(self.class_names))
        if theirs != ours:
            raise CheckpointError(
                f'the cache has features of {theirs[0]} numbers of {theirs[1]} classes, the model has {ours[0]} and '
                f'{ours[1]}: use the config of its tower and the dataset it was made of'
            )

    # ------------------------------------------------------------------------------------------------------- forward

    def logits(self, inputs: Tensor) -> Tensor:
        """(B, K) logits of normalised images (B, 3, H, W).

        Raises:
            ConfigError: the solver has not been fitted.
        """
        with torch.autocast(inputs.device.type, enabled=False):
            return self._logits_of(self.image_features(inputs))

    def scaled(self, logits: Tensor) -> Tensor:
        """(B, K) logits (B, K), times the logit scale if they are cosines."""
        return (self.scale * logits if self.solver.cosine_logits else logits).float()

    def _logits_of(self, features: Tensor) -> Tensor:
        """The same, of what :meth:`image_features` returns."""
        if not self.solver.is_fitted:
            raise ConfigError(
                f'{type(self.solver).__name__} has not been fitted: train it (vlprompt train), or give a checkpoint of '
                'a training'
            )
        text = self.text_features()
        logits = self._solver_of(text)(features.float(), text, self.scale)
        if self._columns is None:
            return logits
        return torch.stack([logits[:, columns].amax(1) for columns in self._columns], 1)

    def _solver_of(self, text: Tensor) -> Solver:
        """The solver, or the one that it makes for other classes, given their text (K, D)."""
        if self._fitted_names in (None, self.prompt.class_names):
            return self.solver
        if not self._of_other_classes:
            self._of_other_classes.append(self.solver.for_other_classes(text, self._known_classes()))
        return self._of_other_classes[0]

    def _known_classes(self) -> dict[int, int]:
        """Position of every class that the solver was fitted to -> its position among those of the fit; classes of the
        same name in the same order.
        """
        left = {name: [i for i, other in enumerate(self._fitted_names) if other == name] for name in self._fitted_names}
        return {i: left[name].pop(0) for i, name in enumerate(self.prompt.class_names) if left.get(name)}

    def loss(self, inputs: Tensor, data_samples: list[ClassificationSample]) -> dict[str, Any]:
        """A solver is fitted at once, not trained by steps.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("FeatureClassifier is fitted, not trained by steps: set train_cfg.type='vlprompt.FitLoop'")

    def predict(
        self, inputs: Tensor, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        """Set ``pred_score (K,)``, softmax of the logits, and ``pred_label`` on every sample."""
        return scored_samples(self.scores(self.logits(inputs)), data_samples)

    @property
    def stored_parts(self) -> tuple[str, ...]:
        return ('cls', 'local') if self.solver.needs_local else ('cls',)

    def predict_features(
        self, features: ClipFeatures, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        return scored_samples(self.scores(self._logits_of(self._tokens(features))), data_samples)
