"""CLIP's text tower over embeddings: https://arxiv.org/abs/2103.00020, section 2.4."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vlprompt.clip.layers import LayerNorm, Transformer
from vlprompt.clip.text.costs import gpu_costs
from vlprompt.clip.text.encode_shared import encode_shared
from vlprompt.clip.text.packing import PassCosts, SharedPart, shared_part
from vlprompt.clip.text.shared_prefix import insert_deep
from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER, Tokenizer
from vlprompt.clip.text.tokens import PromptTokens

GIBIBYTE = 2**30


class TextEncoder(nn.Module):
    """Causal transformer that reads prompts and returns the feature of their end token.

    :meth:`forward` computes each shared prefix once and nothing after an end token (see
    :mod:`vlprompt.clip.text.encode_shared`): 1000 ImageNet classes behind 16 context tokens take 4,182
    positions instead of 77,000. ``reference=True`` computes all ``context_length`` positions of every
    prompt with a plain causal transformer; both agree up to the order of summation.

    Args:
        embed_dim: D of the joint space.
        context_length: number of positions.
        vocab_size: number of tokens.
        width: W.
        heads: attention heads.
        layers: number of blocks.
        quick_gelu: OpenAI's activation instead of GELU.

    Attributes:
        tokenizer: turns words into ids of the token embedding.
        takes_deep_prompts: whether prompts may have vectors for further blocks.
        causal: whether a position sees those before it alone.
        costs: ``'device'``: texts are packed as :func:`~vlprompt.clip.text.costs.pass_costs` says for the device; None:
            exactly, in as many buckets as there are lengths; or costs by which to choose them.  The features are the
            same.
        memory_budget: bytes that one pass may hold. Without gradient the classes are split into chunks
            whose working memory stays below it. With gradient there is one chunk as long as the activations
            kept for the backward pass are estimated to fit; beyond that, chunks are recomputed in the
            backward pass, one at a time. The result is the same.
    """

    takes_deep_prompts = True
    causal = True

    def __init__(
        self,
        embed_dim: int,
        context_length: int = 77,
        vocab_size: int = 49408,
        width: int = 512,
        heads: int = 8,
        layers: int = 12,
        quick_gelu: bool = True,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.context_length = context_length
        self.width = width
        self.tokenizer: Tokenizer = CLIP_TOKENIZER
        self.costs: Literal['device'] | PassCosts | None = 'device'
        self.memory_budget = 4 * GIBIBYTE
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        self.transformer = Transformer(width, layers, heads, quick_gelu)
        self.ln_final = LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, embed_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=self.width**-0.5)
        self.transformer.reset_parameters()

    def shorten(self, context_length: int) -> None:
        """Remove the positions from ``context_length`` on: lossless for prompts that end before, since no position
        attends to later ones.

        Raises:
            ValueError: the tower has fewer positions.
        """
        if context_length > self.context_length:
            raise ValueError(f'the text tower has {self.context_length} positions, {context_length} were asked for')
        positions = self.positional_embedding
        self.positional_embedding = nn.Parameter(positions[:context_length].detach().clone(), positions.requires_grad)
        self.context_length = context_length

    def forward(self, tokens: PromptTokens, reference: bool = False) -> Tensor:
        """Encode P prompts for K classes.

        Args:
            tokens: prompts as embeddings, no position embedding added.
            reference: compute all ``context_length`` positions.

        Returns:
            (P, K, D) text features in the joint space, not normalised.

        Raises:
            ValueError: an end token is outside the tower's positions or the given rows, or there are more
                deep prompts than blocks after the first.
        """
        self._check_ends(tokens)
        blocks = self.transformer.resblocks
        if len(tokens.deep) >= len(blocks):
            raise ValueError(
                f'{len(tokens.deep)} deep prompts need a text tower of {len(tokens.deep) + 1} blocks, this one has '
                f'{len(blocks)}'
            )
        return self._forward_reference(tokens) if reference else encode_shared(self, tokens)

    def encode_ids(self, ids: Tensor) -> Tensor:
        """Encode plain texts: ids (N, L) from :func:`~vlprompt.clip.tokenize` -> (N, D), not normalised."""
        return self(self.from_ids(ids.unsqueeze(0)))[0]

    def from_ids(self, ids: Tensor, known: SharedPart | None = None) -> PromptTokens:
        """Embed token ids.

        Args:
            ids: (P, K, L) long; the end token is the one with the largest id.
            known: of :func:`~vlprompt.clip.text.packing.shared_part`, for ids that are embedded again and again; None:
                the ids are read.

        Returns:
            PromptTokens whose prefix is the longest common prefix of the K texts of every prompt, without end
            token.

        Raises:
            ValueError: the texts of a prompt do not begin with the same token.
        """
        shared, layout = known or shared_part(ids, ids.argmax(dim=-1), self.causal)
        prefix, suffix = ids[:, 0, :shared], ids[:, :, shared : layout.last + 1]
        return PromptTokens(self.token_embedding(prefix), self.token_embedding(suffix), layout)

    def _check_ends(self, tokens: PromptTokens) -> None:
        """Raise if a text does not end after the prefix and within the suffix and the tower."""
        shared, end = tokens.shared_length, tokens.shared_length + tokens.suffix.shape[2]
        if shared < 1:
            raise ValueError('the prefix must hold at least the start token')
        layout, stop = tokens.layout, min(end, self.context_length)
        if layout.first < shared or layout.last >= stop:
            position = layout.first if layout.first < shared else layout.last
            prompt, index = layout.find(position)
            reason = (
                f'the text tower has {self.context_length} positions; shorten the class name or the context'
                if position >= self.context_length
                else f'the suffix holds positions {shared} to {end - 1}'
            )
            raise ValueError(
                f'prompt {prompt}, class {index}: the end token stands at position {position}, but {reason}'
            )

    def positions(self, start: int, stop: int, like: Tensor) -> Tensor:
        """(stop - start, W) position embeddings in the dtype of ``like``."""
        return self.positional_embedding[start:stop].to(like.dtype)

    def _forward_reference(self, tokens: PromptTokens) -> Tensor:
        """Every position of every prompt, as CLIP's own code computes them."""
        x = tokens.embeddings(self.context_length)
        x = (x + self.positions(0, self.context_length, x)).flatten(0, 1)
        deep = [prompt.repeat_interleave(tokens.num_classes, 0) for prompt in tokens.deep]
        for index, block in enumerate(self.transformer.resblocks):
            x = block(insert_deep(x, deep, index), causal=True)
        x = self.ln_final(x)
        ends = x[torch.arange(len(x), device=x.device), tokens.layout.tensor(x.device).flatten()]
        return (ends @ self.text_projection).unflatten(0, (tokens.layout.num_prompts, tokens.num_classes))


def pack_texts_for_gpu(model: nn.Module, half: bool = False, gradient: bool = True) -> None:
    """Have the text towers of a model on a CPU pack their texts as on a GPU.

    Args:
        model: the model; its texts may be packed in other ways afterwards.
        half: as in mixed precision, else as with TF32.
        gradient: as for a backward pass.
    """
    for module in model.modules():
        if isinstance(module, TextEncoder):
            module.costs = gpu_costs(module, 'half' if half else 'tf32', gradient)
