"""Learned context vectors: CoOp (Zhou et al., IJCV 2022, Eq. 2-3), PLOT's sets of them (ICLR 2023), DenseCLIP's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.packing import TextLayout
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.prompts.base import TextPrompt, readable
from vlprompt.prompts.words import check_room, context_rows, initial_texts, padded, start_from_words
from vlprompt.registry import MODELS

POSITIONS = ('end', 'middle', 'front')


@MODELS.register_module()
class ContextPrompt(TextPrompt):
    """P sets of n_ctx learned vectors around each class name.

    Input of the text tower for three context vectors ``v`` and the class "sea lion"::

        end     [SOT] v1 v2 v3 sea lion .  [EOT]        (position of the class name, as in CoOp)
        middle  [SOT] v1 sea lion v2 v3 .  [EOT]        (the first n_ctx // 2 vectors come first)
        front   [SOT] sea lion v1 v2 v3 .  [EOT]

    With ``init='a photo of a'`` and ``n_ctx=2`` the words beyond the vectors stay fixed::

        end     [SOT] v1 v2 of a sea lion . [EOT]

    With ``depth=J`` there are J - 1 further sets of deep vectors, which replace the context vectors' outputs
    before the blocks 1, ..., J - 1 of the text tower (MaPLe, Khattak et al., CVPR 2023; IVLP).

    DenseCLIP's contexts are ``position='end'`` with ``ending=''``, ``context_length=13`` (8 vectors, start and end
    token, and names of up to 3 tokens), ``init_std=1`` and ``init_cut=2``.

    Args:
        class_names: K names.
        text: the text tower; gives the width W, the context length L and the embedding of ``init`` words.
        n_prompts: P, sets of context vectors per class (CoOp 1, PLOT 4).
        n_ctx: context vectors of a set; None: 16, or as many as ``init`` has tokens.
        class_specific: one set of vectors for each class ("CSC") instead of shared by all classes.
        position: of the class name: ``'end'``, ``'middle'`` or ``'front'``.
        init: None draws from N(0, ``init_std``); a string such as ``'a photo of a'`` starts every prompt from
            the embedding of its words; a list of P strings, or a text file (``.txt``) of P lines, gives each prompt its
            own, all of the same token count unless ``n_ctx`` is given.  ``{}`` may stand where ``position`` has the
            class name, for ``'middle'`` after half of the tokens, rounded down.  Tokens beyond ``n_ctx`` stay as fixed
            words between context and class name.
        init_std: standard deviation of the random initialisation; deep vectors always start from it.
        init_cut: draw from the normal distribution truncated at plus and minus ``init_cut * init_std``.
        ending: what follows the name (or the context after it): CoOp's full stop, or nothing.
        context_length: positions of a prompt, start and end token included; None: those of the text tower.  Fewer
            do not change the features: a name that does not fit is an error.
        depth: J, blocks of the text tower with their own context vectors, 1 to the number of blocks.

    The parameter ``context`` is (P, n_ctx, W), or (P, K, n_ctx, W) if class-specific; ``deep``, for a depth beyond 1,
    is (J - 1, P, n_ctx, W).

    Raises:
        ValueError: unknown position, a class name that does not fit after the context, ``init`` texts that are
            empty, of different token counts or not P of them, or shorter than ``n_ctx``; fixed words or a depth with a
            context that is not before the name, a depth with class-specific context or beyond the tower's.
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
        depth: int = 1,
    ) -> None:
        super().__init__()
        if position not in POSITIONS:
            raise ValueError(f'ContextPrompt: position must be one of {POSITIONS}, got {position!r}')
        if n_prompts < 1:
            raise ValueError(f'ContextPrompt: n_prompts must be at least 1, got {n_prompts}')
        fixed_ids: list[list[int]] = [[]] * n_prompts
        if init is None:
            n_ctx = 16 if n_ctx is None else n_ctx
            if n_ctx < 1:
                raise ValueError(f'ContextPrompt: n_ctx must be at least 1, got {n_ctx}')
            classes = (len(class_names),) if class_specific else ()
            context = _draw((n_prompts, *classes, n_ctx, text.width), init_std, init_cut)
        else:
            init = initial_texts(init, position, text.tokenizer)
            context, fixed_ids = start_from_words(init, n_prompts, n_ctx, text)
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
        self.deep = None
        if depth != 1:
            self._check_depth(depth, text)
            self.deep = nn.Parameter(_draw((depth - 1, *context.shape), init_std, init_cut))
        self.fixed_lengths = [len(row) for row in fixed_ids]
        if any(self.fixed_lengths) and position != 'end':
            raise ValueError(
                f'ContextPrompt: init {init!r} has more tokens than n_ctx={self.n_ctx}; the rest stands between '
                f"context and class name, so position must be 'end', got {position!r}"
            )
        for name in ('start_ids', 'rows', 'name_ids'):
            self.register_buffer(name, None, persistent=False)
        self.tokenizer = text.tokenizer
        fixed = padded(fixed_ids, self.tokenizer.pad)
        self.register_buffer('fixed_ids', fixed.to(context.device), persistent=False)
        self._tokenize(class_names)

    def _check_depth(self, depth: int, text: TextEncoder) -> None:
        if not text.takes_deep_prompts:
            raise ValueError(
                f"ContextPrompt: depth={depth} needs CLIP's text tower, which computes prompts once for all classes; "
                'this one reads every position of a text'
            )
        blocks = len(text.transformer.resblocks)
        if not 1 <= depth <= blocks:
            raise ValueError(f'ContextPrompt: depth={depth} must be from 1 to {blocks}, the blocks of the text tower')
        if self.position != 'end' or self.class_specific:
            raise ValueError(
                f'ContextPrompt: depth={depth} needs vectors that all classes share before the name: '
                f"position='end' and class_specific=False, got {self.position!r} and {self.class_specific}"
            )

    @property
    def depth(self) -> int:
        """J, blocks with their own context vectors."""
        return 1 if self.deep is None else 1 + len(self.deep)

    def vectors(self) -> tuple[Tensor, ...]:
        """The learned vectors of the J first blocks: context and deep vectors, each (P, n_ctx, W)."""
        return (self.context, *(() if self.deep is None else self.deep.unbind(0)))

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
        """Ids of "name." of every class, and which row each position after the prefix takes."""
        tokenizer, inside = self.tokenizer, self.position != 'front'
        names = [readable(name) for name in class_names]
        texts = [f'{name}{self.ending}' for name in names]
        room = self.context_length - self.n_ctx - max(self.fixed_lengths)  # for [SOT] name ending [EOT]
        start = len(tokenizer.start)
        check_room(class_names, tokenizer.lengths(texts, inside), start + 1, room, self.context_length)
        ids = tokenizer.tokenize(texts, room, inside=inside)
        eot = tokenizer.ends(ids)
        device = self.context.device
        self.class_names = tuple(class_names)
        self.start_ids = ids[0, :start].to(device)
        self.name_ids = ids[:, start : int(eot.max()) + 1].to(device)
        self.layout = TextLayout((eot + self.n_ctx + torch.tensor(self.fixed_lengths).unsqueeze(1)).tolist())
        leading = {'end': self.n_ctx, 'middle': self.n_ctx // 2, 'front': 0}[self.position]
        name_lengths = torch.tensor(tokenizer.lengths(names, inside))
        self.rows = context_rows(self.n_ctx, leading, name_lengths, self.name_ids.shape[1]).to(device)

    def forward(self, text: TextEncoder, context: Tensor | None = None) -> PromptTokens:
        """
        Args:
            text: the text tower.
            context: vectors in place of the parameter, of its shape except for P, which may be B * P: for example those
                of B images, image by image, if the context depends on the image.

        Returns:
            PromptTokens of P or B * P prompts, whose prefix is the start token and everything shared that precedes
            the class names: context vectors and fixed words (``end``), half of the vectors (``middle``) or
            nothing.
        """
        context = self.context if context is None else context
        copies = len(context) // self.n_prompts
        start = text.token_embedding(self.start_ids).to(context.dtype).expand(len(context), -1, -1)
        fixed, words = (_copies(part.to(context.dtype), copies) for part in self._words(text))
        layout = self.layout.copies(copies)
        if self.position == 'end' and not self.class_specific:
            deep = () if self.deep is None else tuple(_copies(vectors, copies) for vectors in self.deep)
            return PromptTokens(torch.cat([start, context, fixed], 1), words, layout, deep)
        per_class = context if self.class_specific else _of_classes(context, words)
        if self.position == 'end':
            return PromptTokens(start, torch.cat([per_class, _of_classes(fixed, words), words], 2), layout)
        bank = torch.cat([per_class, words], 2)  # (P, K, n_ctx + T, W)
        body = torch.take_along_dim(bank, self.rows[None, :, :, None], 2)
        shared = 0 if self.class_specific or self.position == 'front' else self.n_ctx // 2
        prefix = torch.cat([start, context[:, :shared]], 1) if shared else start
        return PromptTokens(prefix, body[:, :, shared:], layout)

    def _words(self, text: TextEncoder) -> tuple[Tensor, Tensor]:
        """Embeddings (P, F, W) of as many fixed words as all prompts have, and (P, K, T, W) of the words after them.

        If prompts have different numbers of fixed words, the surplus precedes the class names in the latter.
        """
        fixed, names = text.token_embedding(self.fixed_ids), text.token_embedding(self.name_ids)
        common = min(self.fixed_lengths)
        if common == max(self.fixed_lengths):
            return fixed, names.expand(self.n_prompts, -1, -1, -1)
        rows = []
        for own, length in zip(fixed, self.fixed_lengths, strict=True):
            own = own.expand(len(names), -1, -1)
            rows.append(torch.cat([own[:, common:length], names, own[:, length:]], 1))  # paddings go to the end
        return fixed[:, :common], torch.stack(rows)

    def extra_repr(self) -> str:
        return (
            f'n_prompts={self.n_prompts}, n_ctx={self.n_ctx}, class_specific={self.class_specific}, '
            f'position={self.position!r}, depth={self.depth}, classes={len(self.class_names)}'
        )


def _draw(shape: tuple[int, ...], std: float, cut: float | None) -> Tensor:
    """Normal numbers, truncated at plus and minus ``cut * std`` if ``cut`` is given."""
    if cut is None:
        return torch.randn(shape) * std
    return nn.init.trunc_normal_(torch.empty(shape), std=std, a=-cut * std, b=cut * std)


def _copies(x: Tensor, copies: int) -> Tensor:
    """(P, ...) -> (copies * P, ...), a view where possible."""
    return x if copies == 1 else x.expand(copies, *x.shape).flatten(0, 1)


def _of_classes(x: Tensor, words: Tensor) -> Tensor:
    """(P, n, W) -> (P, K, n, W), for the K classes of words (P, K, T, W)."""
    return x.unsqueeze(1).expand(-1, words.shape[1], -1, -1)
