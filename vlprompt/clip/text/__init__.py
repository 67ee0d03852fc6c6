"""CLIP's text tower: tokenizer, prompts as tokens, the transformer and its exact savings."""
