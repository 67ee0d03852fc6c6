"""Samplers: whole epochs, endless, identities x images, class-balanced."""
