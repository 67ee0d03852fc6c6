# Long-tailed images at 160 pixels, for the built-in models: whole images in tests, gentler crops in training.
image_size = 160
resize_size = 160
crop_scale = (0.5, 1.0)
crop_interpolation = 'bicubic'
