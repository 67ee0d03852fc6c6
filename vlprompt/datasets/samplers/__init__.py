"""Samplers: whole epochs, identities x images, class-balanced."""
