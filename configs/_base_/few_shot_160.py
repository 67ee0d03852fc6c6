# Few-shot learning at 160 pixels, the size of the built-in models.
image_size = 160
crop_scale = (0.5, 1.0)  # gentler crops: a scene is recognised by small patterns, which a close crop destroys
