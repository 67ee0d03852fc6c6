"""CLIP's text side: tokenizer, prompts as tokens, the text tower and its exact savings."""
