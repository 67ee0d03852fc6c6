"""Pretraining of the built-in models."""
