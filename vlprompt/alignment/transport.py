"""Alignment of local image tokens with several prompts per class: uniform plan or optimal transport.

PLOT: Prompt Learning with Optimal Transport (Chen et al., ICLR 2023), Eq. 5-10.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.alignment.base import Alignment, inner_products
from vlprompt.alignment.marginals import Marginals, check_marginals, token_marginals
from vlprompt.alignment.sinkhorn import Method, plan_entropy, smallest_eps, unchecked_sinkhorn
from vlprompt.arguments import check_choices
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.tracing import is_exporting
from vlprompt.registry import MODELS

LARGEST_COST = 2.0
"""Of ``1 - S``, since S are cosines."""


class LocalAlignment(nn.Module):
    """Similarity ``z = <T, S>`` of M local tokens and N prompts under a plan T, chosen by the subclass.

    With ``^`` for L2 normalisation, ``S[b, k, m, n] = <l^_bm, t^_nk>`` and s the logit scale::

        logits = s <T, S> + global_weight * s <g^, (mean_n t_nk)^>

    The prompt mean of the global term is over *unnormalised* text features, as published.  The plan is a
    constant for the gradient, which by the envelope theorem is exact at the optimum: dz/dS = T.

    Every prompt has the mass 1 / N, every token the mass ``mu_m``: 1 / M as published, or by saliency, which spares
    the background (:func:`~vlprompt.alignment.marginals.token_marginals`).  These too are constants.

    Args:
        global_weight: weight of the global logits; the published code adds them (weight 1) for ImageNet only.
        marginals: mass of the tokens: ``'uniform'``; ``'class_token'``, the attention of the tower's global token;
            ``'text'``, a softmax of the best cosine with any text.
        marginal_temperature: of ``'text'``; *divides* the cosines.

    Raises:
        ValueError: unknown marginals, or a temperature that is missing, not positive or not read.
    """

    needs_local = True

    def __init__(
        self, global_weight: float = 0.0, marginals: Marginals = 'uniform', marginal_temperature: float | None = None
    ) -> None:
        super().__init__()
        check_marginals(self, marginals, marginal_temperature)
        self.global_weight = global_weight
        self.marginals, self.marginal_temperature = marginals, marginal_temperature

    @property
    def needs_saliency(self) -> bool:
        """Whether the features must have the attention of the global token."""
        return self.marginals == 'class_token'

    def plan(self, similarity: Tensor, mass: Tensor | None) -> Tensor:
        """The plan, which sums to 1 for every image and class.

        Args:
            similarity: (B, K, M, N).
            mass: (B, M) of the tokens, sum 1; None: 1 / M.

        Returns:
            (B, K, M, N).
        """
        raise NotImplementedError(f'{type(self).__name__} must define plan()')

    def forward(self, features: ClipFeatures, text: Tensor, logit_scale: Tensor) -> Alignment:
        """
        Args:
            features: ``local (B, M, D)`` and, with a global weight, ``cls (B, D)``; not normalised. For
                ``marginals='class_token'`` also ``saliency (B, M)``.
            text: (P, K, D) text features of N = P prompts, or (B, P, K, D) of each image, not normalised.
            logit_scale: scalar that *multiplies* the similarities.

        Returns:
            Alignment with logits, maps, plan and the mean relative plan entropy under ``plan_entropy``.

        Raises:
            ValueError: the features have no local tokens, or no saliency that the marginals need.
        """
        if features.local is None:
            raise ValueError(f'{type(self).__name__} needs local tokens; encode the image with local=True')
        with torch.autocast(features.local.device.type, enabled=False):
            local, text = F.normalize(features.local.float(), dim=-1), text.float()
            prompts = F.normalize(text, dim=-1)
            similarity = torch.einsum('bmd,pkd->bkmp' if text.dim() == 3 else 'bmd,bpkd->bkmp', local, prompts)
            mass = token_marginals(self.marginals, features, similarity, self.marginal_temperature)
            plan = self.plan(similarity.detach(), mass)
            score = (plan * similarity).sum((2, 3))
            logits = logit_scale * score
            if self.global_weight:
                mean_prompt = F.normalize(text.mean(-3), dim=-1)
                image = F.normalize(features.cls.float(), dim=-1)
                logits = logits + self.global_weight * logit_scale * inner_products(image, mean_prompt)
        maps = similarity.detach().mean(-1).unflatten(-1, features.grid)
        log = {} if is_exporting() else {'plan_entropy': plan_entropy(plan).mean()}
        return Alignment(logits, maps, plan, log)

    def extra_repr(self) -> str:
        temperature = f', marginal_temperature={self.marginal_temperature}' if self.marginals == 'text' else ''
        return f'global_weight={self.global_weight}, marginals={self.marginals!r}{temperature}'


@MODELS.register_module()
class UniformAlignment(LocalAlignment):
    """The plan without transport ``T = mu_m / N``: every token meets every prompt (PLOT's "M" ablation: 1 / (MN))."""

    def plan(self, similarity: Tensor, mass: Tensor | None) -> Tensor:
        m, n = similarity.shape[-2:]
        if mass is None:
            return similarity.new_full((1, 1, 1, 1), 1 / (m * n)).expand_as(similarity)
        return (mass / n)[:, None, :, None].expand_as(similarity)


@MODELS.register_module()
class TransportAlignment(LocalAlignment):
    """PLOT: the entropic optimal transport plan for the cost ``1 - S``.

    Args:
        eps, method, max_iters, tol: see :func:`vlprompt.alignment.sinkhorn.sinkhorn`.  ``'fixed'`` makes a
            prediction independent of its batch; ``'legacy'`` is the published batch-wide stop.
        dtype: name of the dtype the plan is solved in, e.g. ``'float32'``; the published code uses
            ``'float16'`` on a GPU.
        global_weight, marginals, marginal_temperature: see :class:`LocalAlignment`.

    Raises:
        ValueError: unknown marginals, method or dtype, ``eps`` not positive, ``max_iters`` below 1 or ``tol`` negative.
    """

    def __init__(
        self,
        eps: float = 0.1,
        method: Method = 'fixed',
        max_iters: int = 20,
        tol: float = 1e-2,
        dtype: str = 'float32',
        global_weight: float = 0.0,
        marginals: Marginals = 'uniform',
        marginal_temperature: float | None = None,
    ) -> None:
        super().__init__(global_weight, marginals, marginal_temperature)
        check_choices(self, method=method)
        if not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise ValueError(f"TransportAlignment: dtype must name a torch dtype such as 'float32', got {dtype!r}")
        for name, value, fits, limit in (
            ('eps', eps, eps > 0, '> 0'),
            ('max_iters', max_iters, max_iters >= 1, '>= 1'),
            ('tol', tol, tol >= 0, '>= 0'),
        ):
            if not fits:
                raise ValueError(f'TransportAlignment: {name} must be {limit}, got {value}')
        self.eps, self.method, self.max_iters, self.tol = eps, method, max_iters, tol
        self.dtype = getattr(torch, dtype)

    @property
    def non_finite_hint(self) -> str | None:
        """What may be the cause if logits are not finite, for messages; None if the plan never is."""
        if self.method == 'log' or self.eps >= smallest_eps(self.dtype, LARGEST_COST):
            return None
        dtype = str(self.dtype).removeprefix('torch.')
        return (
            f'If features and weights are finite, eps={self.eps} of TransportAlignment is too small for {dtype}: raise '
            "model.alignment.eps or set model.alignment.method='log'."
        )

    def plan(self, similarity: Tensor, mass: Tensor | None) -> Tensor:
        rows = None if mass is None else mass.unsqueeze(1)
        solve = unchecked_sinkhorn  # a plan that is not finite shows in the loss, or in the scores
        result = solve(1 - similarity, self.eps, self.method, self.max_iters, self.tol, self.dtype, rows)
        return result.plan.to(similarity.dtype)

    def extra_repr(self) -> str:
        stop = f', tol={self.tol}' if self.method == 'legacy' else ''
        return (
            f'eps={self.eps}, method={self.method!r}, max_iters={self.max_iters}{stop}, dtype={self.dtype}, '
            f'{super().extra_repr()}'
        )
