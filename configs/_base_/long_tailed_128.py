# Long-tailed images at 128 pixels, for the built-in models: whole images in tests, gentler crops in training.
image_size = 128
resize_size = 128
crop_scale = (0.5, 1.0)
crop_interpolation = 'bicubic'
