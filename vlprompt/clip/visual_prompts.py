"""Running vision transformer blocks with prompt tokens, without computing outputs that are discarded.

The output of a block at the prompts' positions matters only if these tokens flow on into the next block.  Deep
prompts (VPT-deep, MaPLe, LPT) are replaced there, and nothing reads them after the last block, so they need keys and
values but no queries, no output projection and no MLP.  Keys and values of prompts that all images share do not
depend on the batch either: they are computed once per step, and those of prompts that images choose from a table,
once per row.  All of this is exact; :func:`run_blocks` chooses the path, and ``reference=True`` the plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlprompt.clip.layers import ResidualAttentionBlock


@dataclass(frozen=True)
class PromptChoice:
    """A table of prompts from which every image takes one row.

    Attributes:
        table: (U, n, width), the U distinct prompts of n tokens.
        index: (B,) int64, the row of each image.
    """

    table: Tensor
    index: Tensor

    def tokens(self) -> Tensor:
        """(B, n, width)."""
        return self.table[self.index]


Prompt = Tensor | PromptChoice
"""(n, width) for all images, (B, n, width), or a choice."""

Entry = Prompt | Sequence[Prompt] | None
"""Additional input of one block: none, prompts, or several kinds of them."""


@dataclass(frozen=True)
class VisualTokens:
    """Visual prompts as input of the image tower.

    Attributes:
        blocks: entry i stands after the patch tokens in the input of block i; None, or the end of the sequence, lets
            the earlier prompt tokens flow on.  With ``sets``, tensors (M, n, width).
        after_norm: whether the entry for block 0 joins after ``ln_pre`` (VPT, LPT) or passes through it like the patch
            tokens (PLOT++, MaPLe, IVLP).
        sets: M alternative prompts, each with its own pass (PLOT++); None: one pass.

    Raises:
        ValueError: ``sets`` with an entry that is not (M, n, width).
    """

    blocks: tuple[Entry, ...]
    after_norm: bool = True
    sets: int | None = None

    def __post_init__(self) -> None:
        for entry in self.blocks if self.sets is not None else ():
            if entry is not None and not (isinstance(entry, Tensor) and entry.dim() == 3 and len(entry) == self.sets):
                raise ValueError(f'{self.sets} sets of visual prompts need entries ({self.sets}, n, width)')

    def entries(self, norm: nn.Module, batch: int) -> list[Entry]:
        """Prompts for :func:`run_blocks` with B images, the M sets one after another: M * B sequences.

        Args:
            norm: ``ln_pre`` of the tower.
            batch: B.
        """
        entries = list(self.blocks)
        if not self.after_norm and entries and entries[0] is not None:
            entries[0] = norm(entries[0])
        if self.sets is None:
            return entries
        return [None if entry is None else _each_set(entry, batch) for entry in entries]


def _each_set(entry: Tensor, batch: int) -> PromptChoice:
    """Entry (M, n, width) for M * B sequences, set by set."""
    return PromptChoice(entry, torch.arange(len(entry), device=entry.device)[:, None].expand(-1, batch).flatten())


def prompts_of(entry: Entry) -> tuple[Prompt, ...]:
    """The prompts of an entry, none for None."""
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, (Tensor, PromptChoice)) else tuple(entry)


def check_prompts(entries: Sequence[Entry], blocks: int, width: int) -> None:
    """Raise ValueError for more entries than blocks and for tokens of another width."""
    if len(entries) > blocks:
        raise ValueError(f'{len(entries)} entries of visual prompts for {blocks} blocks')
    for prompt in (prompt for entry in entries for prompt in prompts_of(entry)):
        tokens = prompt.table if isinstance(prompt, PromptChoice) else prompt
        if tokens.dim() not in (2, 3) or tokens.shape[-1] != width:
            raise ValueError(f'visual prompts must be (n, {width}) or (B, n, {width}), got {tuple(tokens.shape)}')


def run_blocks(
    blocks: Sequence[ResidualAttentionBlock],
    x: Tensor,
    prompts: Sequence[Entry] = (),
    out_indices: Sequence[int] = (),
    queries: int | None = None,
    adapters: Sequence[nn.Module] | None = None,
    reference: bool = False,
    keep_prompts: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run blocks one after another; prompt tokens are removed from the output.

    Args:
        blocks: some successive blocks of a tower.
        x: (B, L, width) residual stream before the first of them.
        prompts: additional input of each block; None, or the end of the sequence, lets prompt tokens flow on.
        out_indices: blocks, counted within ``blocks``, whose output tokens are returned too.
        queries: compute only that many first tokens in the last block.
        adapters: one branch parallel to the MLP of each block.
        reference: run all tokens through all computations.
        keep_prompts: prompt tokens flow on beyond these blocks and stay in the output, after the L tokens.

    Returns:
        (B, L or queries, width) after the last block, and (B, L, width) after each block of ``out_indices``.
    """
    length, last = x.shape[1], len(blocks) - 1
    entries = list(prompts) + [None] * (len(blocks) - len(prompts))
    outputs = []
    for index, block in enumerate(blocks):
        adapter = None if adapters is None else adapters[index]
        needed = (queries or length) if index == last and not (reference or keep_prompts) else None
        flows = entries[index + 1] is None if index < last else keep_prompts
        if index < last and not flows and not reference and x.shape[1] > length:
            needed = length  # tokens of a prompt that ends here
        if entries[index] is None:
            x = block(x, needed, adapter=adapter)
        elif flows or reference:
            x = block(join_prompts(x[:, :length], entries[index]), needed, adapter=adapter)
        else:
            extra = [_keys_values(block, prompt) for prompt in prompts_of(entries[index])]
            x = block(x[:, :length], queries if index == last else None, extra=extra, adapter=adapter)
        if index in out_indices:
            outputs.append(x[:, :length])
    return x if keep_prompts else x[:, : queries or length], tuple(outputs)


def join_prompts(x: Tensor, entry: Entry) -> Tensor:
    """(B, L, width) followed by the tokens of an entry."""
    tokens = [prompt.tokens() if isinstance(prompt, PromptChoice) else prompt for prompt in prompts_of(entry)]
    return torch.cat([x, *(t.to(x.dtype).expand(x.shape[0], -1, -1) for t in tokens)], dim=1)


def _keys_values(block: ResidualAttentionBlock, prompt: Prompt) -> tuple[Tensor, Tensor]:
    """Keys and values (B or 1, H, n, width / H)."""
    if isinstance(prompt, PromptChoice):
        keys, values = block.keys_values(prompt.table)
        return keys[prompt.index], values[prompt.index]
    keys, values = block.keys_values(prompt)
    return (keys, values) if prompt.dim() == 3 else (keys.unsqueeze(0), values.unsqueeze(0))
