"""Learned context vectors: CoOp (Zhou et al., IJCV 2022, Eq. 2-3), PLOT's sets of them (ICLR 2023), DenseCLIP's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.tokenizer import bpe_lengths, tokenize
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.prompts.base import TextPrompt, readable
from vlprompt.registry import MODELS

POSITIONS = ('end', 'middle', 'front')


@MODELS.register_module()
class ContextPrompt(TextPrompt):
    """P sets of n_ctx learned vectors around each class name.

    What the text tower sees, for three context vectors ``v`` and the class "sea lion"::

        end     [SOT] v1 v2 v3 sea lion .  [EOT]        (where the class token stands, as in CoOp)
        middle  [SOT] v1 sea lion v2 v3 .  [EOT]        (the first n_ctx // 2 vectors come first)
        front   [SOT] sea lion v1 v2 v3 .  [EOT]

    DenseCLIP's contexts are ``position='end'`` with ``ending=''``, ``context_length=13`` (8 vectors, start and end
    token, and names of up to 3 tokens), ``init_std=1`` and ``init_cut=2``.

    Args:
        class_names: K names.
        text: the text tower; gives the width W, the context length L and the embedding of ``init`` words.
        n_prompts: P, sets of context vectors per class (CoOp 1, PLOT 4).
        n_ctx: context vectors of a set; follows from ``init`` when that gives words.
        class_specific: one set of vectors for each class ("CSC") instead of shared by all classes.
        position: where the class name stands: ``'end'``, ``'middle'`` or ``'front'``.
        init: None draws from N(0, ``init_std``); a string such as ``'a photo of a'`` starts every prompt from
            the embedding of its words; a list of P strings gives each prompt its own, all of the same token count.
        init_std: standard deviation of the random initialisation.
        init_cut: draw from the normal distribution cut off at plus and minus ``init_cut * init_std``.
        ending: what follows the name (or the context behind it): CoOp's full stop, or nothing.
        context_length: positions of a prompt, start and end token included; None: those of the text tower.  Less
            does not change the features: a name that does not fit is an error.

    The parameter ``context`` is (P, n_ctx, W), or (P, K, n_ctx, W) if class-specific.

    Raises:
        ValueError: unknown position, a class name that does not fit behind the context, ``init`` texts that are
            empty, of different token counts or not P of them, or that disagree with ``n_ctx``.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        text: TextEncoder,
        n_prompts: int = 1,
        n_ctx: int | None = None,
        class_specific: bool = False,
        position: str = 'end',
        init: str | Sequence[str] | None = None,
        init_std: float = 0.02,
        init_cut: float | None = None,
        ending: str = '.',
        context_length: int | None = None,
    ) -> None:
        super().__init__()
        if position not in POSITIONS:
            raise ValueError(f'ContextPrompt: position must be one of {POSITIONS}, got {position!r}')
        if n_prompts < 1:
            raise ValueError(f'ContextPrompt: n_prompts must be at least 1, got {n_prompts}')
        if init is None:
            n_ctx = 16 if n_ctx is None else n_ctx
            if n_ctx < 1:
                raise ValueError(f'ContextPrompt: n_ctx must be at least 1, got {n_ctx}')
            shape = (n_prompts, n_ctx, text.width)
            if class_specific:
                shape = (n_prompts, len(class_names), n_ctx, text.width)
            context = _draw(shape, init_std, init_cut)
        else:
            context = _embed_words(init, n_prompts, n_ctx, text)
            if class_specific:
                context = context.unsqueeze(1).repeat(1, len(class_names), 1, 1)
        self.n_prompts, self.n_ctx = n_prompts, context.shape[-2]
        self.class_specific, self.position = class_specific, position
        self.ending = ending
        self.context_length = text.context_length if context_length is None else context_length
        if self.context_length > text.context_length:
            raise ValueError(
                f'ContextPrompt: context_length={context_length}, but the text tower has only {text.context_length} '
                'positions'
            )
        self.context = nn.Parameter(context)
        for name in ('start_id', 'rows', 'name_ids', 'eot'):
            self.register_buffer(name, None, persistent=False)
        self._tokenize(class_names)

    def set_class_names(self, class_names: Sequence[str]) -> None:
        if self.class_specific and tuple(class_names) != self.class_names:
            raise ValueError(
                'ContextPrompt: the context vectors were learned for each class, so they cannot serve another class '
                f'set; trained on {len(self.class_names)} classes ({", ".join(self.class_names[:3])}, ...), '
                f'asked for {len(class_names)} ({", ".join(list(class_names)[:3])}, ...). '
                'Train with class_specific=False to transfer between class sets.'
            )
        self._tokenize(class_names)

    def _tokenize(self, class_names: Sequence[str]) -> None:
        """Ids of "name." of every class, and which row each position behind the prefix takes."""
        texts = [readable(name) for name in class_names]
        self._check_lengths(class_names, [f'{text}{self.ending}' for text in texts])
        ids = tokenize([f'{text}{self.ending}' for text in texts], self.context_length - self.n_ctx)
        name_lengths = torch.tensor(bpe_lengths(texts))
        eot = ids.argmax(-1)  # EOT has the largest id
        device = self.context.device
        self.class_names = tuple(class_names)
        self.start_id = ids[0, :1].to(device)
        self.name_ids = ids[:, 1 : int(eot.max()) + 1].to(device)
        self.eot = (eot + self.n_ctx).to(device)
        self.rows = self._layout(name_lengths, self.name_ids.shape[1]).to(device)

    def _check_lengths(self, class_names: Sequence[str], texts: Sequence[str]) -> None:
        """Raise if the longest class does not fit, naming it and the context length that it needs."""
        lengths = bpe_lengths(texts)
        longest = max(range(len(texts)), key=lengths.__getitem__)
        needed = lengths[longest] + self.n_ctx + 2  # start and end token
        if needed > self.context_length:
            raise ValueError(
                f'ContextPrompt: class {class_names[longest]!r} takes {lengths[longest]} tokens; with {self.n_ctx} '
                f'context vectors, start and end token it needs context_length={needed}, but context_length is '
                f'{self.context_length}. Raise it (no text tower of CLIP has more than 77), take fewer context vectors '
                'or shorten the name'
            )

    def _layout(self, name_lengths: Tensor, n_words: int) -> Tensor:
        """(K, n_ctx + T) order of [context (n_ctx), words (T)] behind the start token.

        Sorting by a key does it: words of the name get 0, the context before it -1 and behind it 1, the rest 2.
        """
        context_key = torch.ones(len(name_lengths), self.n_ctx)
        leading = {'end': self.n_ctx, 'middle': self.n_ctx // 2, 'front': 0}[self.position]
        context_key[:, :leading] = -1
        words = torch.arange(n_words).expand(len(name_lengths), -1)
        word_key = torch.where(words < name_lengths[:, None], 0.0, 2.0)
        return torch.cat([context_key, word_key], 1).argsort(dim=1, stable=True)

    def forward(self, text: TextEncoder, context: Tensor | None = None) -> PromptTokens:
        """
        Args:
            text: the text tower.
            context: vectors to use in place of the parameter, of its shape but for P, which is free: those of B
                images, say, if the context depends on the image.

        Returns:
            PromptTokens whose prefix is the start token and the context vectors that precede every class name
            and are shared by all classes: all of them (``end``), half (``middle``) or none.
        """
        context = self.context if context is None else context
        n_prompts, n_classes = len(context), len(self.class_names)
        words = text.token_embedding(self.name_ids).to(context.dtype).expand(n_prompts, -1, -1, -1)  # (P, K, T, W)
        start = text.token_embedding(self.start_id).to(context.dtype).expand(n_prompts, -1, -1)
        eot = self.eot.expand(n_prompts, -1)
        if self.position == 'end' and not self.class_specific:
            return PromptTokens(torch.cat([start, context], 1), words, eot)
        per_class = context if self.class_specific else context.unsqueeze(1).expand(-1, n_classes, -1, -1)
        bank = torch.cat([per_class, words], 2)  # (P, K, n_ctx + T, W)
        body = torch.take_along_dim(bank, self.rows[None, :, :, None], 2)
        shared = 0 if self.class_specific or self.position == 'front' else self.n_ctx // 2
        prefix = torch.cat([start, context[:, :shared]], 1) if shared else start
        return PromptTokens(prefix, body[:, :, shared:], eot)

    def extra_repr(self) -> str:
        return (
            f'n_prompts={self.n_prompts}, n_ctx={self.n_ctx}, class_specific={self.class_specific}, '
            f'position={self.position!r}, classes={len(self.class_names)}'
        )


def _draw(shape: tuple[int, ...], std: float, cut: float | None) -> Tensor:
    """Normal numbers, cut off at plus and minus ``cut * std`` if that is given."""
    if cut is None:
        return torch.randn(shape) * std
    return nn.init.trunc_normal_(torch.empty(shape), std=std, a=-cut * std, b=cut * std)


def _embed_words(init: str | Sequence[str], n_prompts: int, n_ctx: int | None, text: TextEncoder) -> Tensor:
    """(P, n_ctx, W) token embeddings of one text for all prompts, or of a text for each."""
    texts = [readable(init)] * n_prompts if isinstance(init, str) else [readable(t) for t in init]
    if len(texts) != n_prompts:
        raise ValueError(f'ContextPrompt: init gives {len(texts)} texts for n_prompts={n_prompts}')
    ids = tokenize(texts, text.context_length)
    lengths = (ids.argmax(-1) - 1).tolist()
    if len(set(lengths)) > 1 or lengths[0] < 1:
        counts = ', '.join(f'{t!r}: {n}' for t, n in zip(texts, lengths, strict=True))
        raise ValueError(f'ContextPrompt: init texts need the same token count, at least one; got {counts}')
    if n_ctx is not None and n_ctx != lengths[0]:
        raise ValueError(f'ContextPrompt: n_ctx={n_ctx}, but init {texts[0]!r} has {lengths[0]} tokens')
    device = text.token_embedding.weight.device
    return text.token_embedding(ids[:, 1 : 1 + lengths[0]].to(device)).detach().float().clone()
