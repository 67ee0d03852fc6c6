# Few-shot learning at 128 pixels, the size of the built-in models.
image_size = 128
crop_scale = (0.5, 1.0)  # gentler crops: a scene is recognised by small patterns, which a close crop destroys
