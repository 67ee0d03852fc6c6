"""Pictures of what was learned: score maps, transport plans, nearest words, curves."""
