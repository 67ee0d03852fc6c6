"""The one rule from image files to pixels: both loaders give the right values, or refuse by name."""

import io
import os
import struct
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image, features

from vlprompt.datasets import LoadImage, LoadImageFile
from vlprompt.datasets.checks.files import open_images
from vlprompt.datasets.checks.parts import Part
from vlprompt.datasets.images import IMAGE_SUFFIXES, direct_images, find_images, load_image, numbered_name
from vlprompt.datasets.pixels import decode_indices, to_rgb
from vlprompt.visualization import read_image

RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:128, :128]
GREY = ((np.sin(ROWS / 9) * np.cos(COLUMNS / 13) + 1) * 127.5).astype(np.uint8)
COLOURS = RNG.integers(0, 256, (24, 32, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (24, 32), np.uint8)


def encoded(image, form, **options):
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def by_opencv(pixels, suffix):
    """A file with the values of ``pixels`` (H, W, 3 or 4) RGB."""
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return cv2.imencode(suffix, np.ascontiguousarray(pixels[..., order]))[1].tobytes()


def tiff(pixels, bits, photometric):
    """A grey TIFF file in one strip; 12-bit pixels are packed, two in three bytes."""
    if bits == 12:
        first, second = pixels[:, ::2].astype(np.uint32), pixels[:, 1::2].astype(np.uint32)
        packed = first << 12 | second
        data = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], -1).astype(np.uint8).tobytes()
    else:
        data = pixels.astype(f'<u{bits // 8}').tobytes()
    height, width = pixels.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack('<H', len(tags)) + entries + struct.pack('<I', 0)
    return b'II*\0' + struct.pack('<I', 8 + len(data)) + data + directory


def both(path):
    """(H, W, 3) RGB of the loader of classification and re-identification; the dense one must give the same."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        image = LoadImage()(dict(img_path=str(path)))['img']
        dense = LoadImageFile()(dict(img_path=str(path)))
    assert image.mode == 'RGB'
    pixels = np.asarray(image)
    assert dense['img'].dtype == np.uint8
    assert dense['img'].flags['C_CONTIGUOUS']
    assert np.array_equal(dense['img'][..., ::-1], pixels)
    assert dense['ori_shape'] == pixels.shape[:2]
    assert np.array_equal(read_image(path), pixels), 'pictures are drawn of the same pixels'
    return pixels


def load(tmp_path, content, name='a.png'):
    (tmp_path / name).write_bytes(content)
    return both(tmp_path / name)


def test_16_bit_grey_is_scaled(tmp_path):
    wide = GREY.astype(np.uint16)
    for form in ('PNG', 'TIFF', 'PPM'):
        assert np.array_equal(load(tmp_path, encoded(wide * 257, form)), np.repeat(GREY[..., None], 3, 2))
    pixels = load(tmp_path, encoded(wide * 257, 'PNG'))
    assert pixels.mean() == pytest.approx(126.7, abs=0.05)
    assert (pixels == 255).mean() < 0.01
    dark = load(tmp_path, encoded(wide * 16, 'PNG'))
    assert dark.mean() == pytest.approx(126.7 * 16 / 257, abs=0.5), '12-bit values in a 16-bit file stay dark'
    assert set(load(tmp_path, encoded(np.array([[0, 128, 129, 65535]], np.uint16), 'PNG'))[0, :, 0]) == {0, 1, 255}


def test_tiff_says_how_many_bits_there_are_and_what_is_white(tmp_path):
    full = np.round(GREY.astype(float) * 4095 / 255).astype(np.uint16)
    assert np.abs(load(tmp_path, tiff(full, 12, 1))[..., 0].astype(int) - GREY).max() <= 1
    assert np.array_equal(load(tmp_path, tiff(GREY.astype(np.uint16) * 257, 16, 1))[..., 0], GREY)
    assert np.array_equal(load(tmp_path, tiff(GREY.astype(np.uint16) * 257, 16, 0))[..., 0], 255 - GREY)
    assert np.array_equal(load(tmp_path, tiff(GREY, 8, 0))[..., 0], 255 - GREY)


@pytest.mark.parametrize(('suffix', 'channels'), [('.png', 3), ('.png', 4), ('.tif', 3), ('.tif', 4), ('.ppm', 3)])
def test_16_bit_colours_are_the_same_to_a_level(tmp_path, suffix, channels):
    wide = RNG.integers(0, 65536, (24, 32, channels), np.uint16)
    pixels = load(tmp_path, by_opencv(wide, suffix))
    assert np.abs(pixels - wide[..., :3] / 257).max() <= 1


@pytest.mark.parametrize(
    ('content', 'what'),
    [
        (encoded((GREY / 255).astype(np.float32), 'TIFF'), 'floating-point numbers'),
        (encoded(GREY.astype(np.int32) * 100_000, 'TIFF'), 'signed or 32-bit integers'),
        (encoded(Image.merge('LAB', [Image.fromarray(GREY)] * 3), 'TIFF'), 'Lab colours'),
    ],
)
def test_pixels_without_a_range_are_refused(tmp_path, content, what):
    path = tmp_path / 'a.tif'
    path.write_bytes(content)
    message = rf'^image {path} cannot be read: its pixels are {what}, which have no fixed black and white; save it as'
    for read in (LoadImage(), LoadImageFile()):
        with pytest.raises(OSError, match=message):
            read(dict(img_path=str(path)))
    with pytest.raises(OSError, match=message):
        read_image(path)
    assert f'unreadable: {path}: its pixels are {what}' in problem_of(path)


def test_transparency_is_dropped(tmp_path):
    for form in ('PNG', 'WEBP', 'TIFF'):
        options = dict(lossless=True, exact=True) if form == 'WEBP' else {}
        for alpha in (ALPHA, np.zeros_like(ALPHA)):
            assert np.array_equal(load(tmp_path, encoded(np.dstack([COLOURS, alpha]), form, **options)), COLOURS)
    grey = load(
        tmp_path, encoded(Image.merge('LA', [Image.fromarray(c) for c in (COLOURS[..., 0].copy(), ALPHA)]), 'PNG')
    )
    assert np.array_equal(grey, np.repeat(COLOURS[..., :1], 3, 2))
    palette = Image.fromarray(COLOURS).quantize(16)
    expected = np.asarray(palette.convert('RGB'))
    for form in ('PNG', 'GIF'):
        for options in ({}, dict(transparency=3)):
            assert np.array_equal(load(tmp_path, encoded(palette, form, **options)), expected)
    assert np.array_equal(load(tmp_path, encoded(palette, 'PNG', transparency=bytes(16))), expected)
    palette.info['transparency'] = 3
    assert np.array_equal(to_rgb(palette)[0], expected)
    assert palette.info['transparency'] == 3, "an image of the caller's stays as it is"
    assert np.array_equal(load(tmp_path, encoded(COLOURS, 'PNG', transparency=tuple(COLOURS[0, 0].tolist()))), COLOURS)


def test_other_modes(tmp_path):
    bits = COLOURS[..., 0] > 100
    for form in ('PNG', 'TIFF', 'PPM'):
        assert np.array_equal(load(tmp_path, encoded(bits, form)), np.repeat(bits[..., None] * np.uint8(255), 3, 2))
    smooth = np.asarray(Image.fromarray(COLOURS[:3, :4]).resize((32, 24), Image.Resampling.BICUBIC))
    for mode, form in (('CMYK', 'TIFF'), ('CMYK', 'JPEG'), ('YCbCr', 'TIFF'), ('L', 'JPEG'), ('RGB', 'BMP')):
        image = Image.fromarray(smooth).convert(mode)
        options = dict(quality=100, subsampling=0) if form == 'JPEG' and mode != 'L' else {}
        pixels = load(tmp_path, encoded(image, form, **options))
        assert np.abs(pixels.astype(int) - np.asarray(image.convert('RGB'))).max() <= 6, (mode, form)


def test_the_first_picture_of_an_animation_counts(tmp_path):
    frames = [Image.new('RGB', (8, 6), colour) for colour in ('red', 'blue', 'green')]
    for form in ('GIF', 'TIFF', 'WEBP', 'PNG'):
        options = dict(lossless=True) if form == 'WEBP' else {}
        pixels = load(tmp_path, encoded(frames[0], form, save_all=True, append_images=frames[1:], **options))
        assert pixels.shape == (6, 8, 3)
        assert np.array_equal(np.unique(pixels.reshape(-1, 3), axis=0), [[255, 0, 0]])


def test_jpeg_pixels_are_those_of_opencv(tmp_path):
    smooth = np.asarray(Image.fromarray(COLOURS).resize((321, 243), Image.Resampling.BICUBIC))
    for options in (dict(quality=90), dict(quality=60, subsampling=2), dict(quality=95, progressive=True)):
        content = encoded(smooth, 'JPEG', **options)
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(load(tmp_path, content, 'a.jpg')[..., ::-1], expected)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'it is empty'),
        (
            b'version https://git-lfs.github.com/spec/v1\n',
            'it is damaged, no image, or in another format than JPEG, PNG',
        ),
        (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n', 'in another format than'),
        (encoded(COLOURS, 'JPEG')[:700], 'image file is truncated'),
        (encoded(Image.new('1', (14000, 13000)), 'PNG'), r'exceeds limit of 178956970 pixels.*; scale it down'),
    ],
)
def test_what_cannot_be_decoded_is_named(tmp_path, content, message):
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    for read in (LoadImage(), LoadImageFile()):
        with pytest.raises(OSError, match=rf'^image {path} cannot be read: .*{message}'):
            read(dict(img_path=str(path)))
    assert problem_of(path).startswith(f'unreadable: {path}: ')


def test_pipes_devices_and_broken_links_are_named_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'null.png').symlink_to('/dev/null')
    (tmp_path / 'lost.png').symlink_to(tmp_path / 'nowhere.png')
    (tmp_path / 'loop.png').symlink_to('loop.png')
    (tmp_path / 'folder.png').mkdir()
    Image.fromarray(COLOURS).save(tmp_path / 'folder.png/a.png')
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ['folder.png/a.png', 'loop.png', 'lost.png', 'null.png', 'pipe.png']
    assert direct_images(tmp_path) == ['loop.png', 'lost.png', 'null.png', 'pipe.png']
    for name, message in (
        ('pipe.png', 'pipe.png cannot be read: it is a named pipe'),
        ('null.png', 'null.png cannot be read: it is a device'),
        ('lost.png', 'lost.png does not exist'),
        ('loop.png', 'loop.png cannot be read: Too many levels of symbolic links'),
        ('folder.png', 'folder.png cannot be read: it is a folder'),
    ):
        for read in (LoadImage(), LoadImageFile()):
            with pytest.raises(OSError, match=message):
                read(dict(img_path=str(tmp_path / name)))
        assert name in problem_of(tmp_path / name)


@pytest.mark.filterwarnings('ignore')  # Pillow's, about damaged tags
def test_damaged_files_are_errors_that_name_the_file(tmp_path):
    path = tmp_path / 'a.img'
    rng = np.random.default_rng(1)
    outcomes = set()
    for form in ('PNG', 'JPEG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'PPM'):
        content = encoded(COLOURS, form, **(dict(exif=_exif(6)) if form == 'JPEG' else {}))
        for _ in range(40):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), 4):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged[: rng.integers(1, len(content) + 1)])
            try:
                load_image(path)
            except OSError as error:
                assert str(error).startswith(f'image {path} cannot be read: ')  # noqa: PT017
                outcomes.add('refused')
            else:
                outcomes.add('read')
    assert outcomes == {'refused', 'read'}


def problem_of(path):
    """What ``check_dataset.py`` says about a file."""
    return open_images([Part(name='train', source='', paths=[str(path)])]).problems[str(path)]


def _exif(number):
    exif = Image.Exif()
    exif[0x112] = number
    return exif.tobytes()


def test_masks_keep_their_values():
    ids = RNG.integers(0, 200, (6, 8), np.uint8)
    assert np.array_equal(decode_indices(encoded(ids, 'PNG')), ids)
    with pytest.raises(ValueError, match='it has EXIF orientation 3; save it upright'):
        decode_indices(encoded(ids, 'PNG', exif=_exif(3)))


@pytest.mark.parametrize('name', ['b' * 249, 'ü' * 124, 'b_M\udce4rz', 'a'])
def test_names_of_pictures_fit_into_a_file_system(tmp_path, name):
    path = tmp_path / numbered_name(7, tmp_path / f'{name}.png')
    path.touch()
    assert path.name.startswith(f'000007_{name[:100]}')
    assert path.suffix == '.png'
    assert numbered_name(7, 'a.b.jpg') == '000007_a.b.png'


@pytest.mark.parametrize('suffix', IMAGE_SUFFIXES)
def test_every_suffix_of_images_is_read(tmp_path, suffix):
    if suffix == '.avif' and 'avif' not in features.get_supported():
        pytest.skip('this Pillow has no AVIF')
    path = tmp_path / f'a{suffix}'
    grey = Image.fromarray(GREY)
    kinds = {'.jfif': 'JPEG', '.pbm': 'PPM'}
    (grey.convert('1') if suffix == '.pbm' else grey.convert('RGB')).save(path, kinds.get(suffix))
    assert find_images(tmp_path) == [path]
    image = np.asarray(load_image(path))
    assert image.shape == (128, 128, 3)
    difference = np.abs(
        image.astype(int) - (np.asarray(grey.convert('1')) * 255 if suffix == '.pbm' else GREY)[..., None]
    )
    assert difference.mean() < 4
    assert np.array_equal(LoadImageFile()(dict(img_path=str(path)))['img'][..., ::-1], image)


def test_too_little_memory_is_not_said_to_be_the_file(tmp_path):
    def decode(content):
        raise MemoryError('Unable to allocate 9 GiB')

    (tmp_path / 'a.png').write_bytes(encoded(COLOURS, 'PNG'))
    with pytest.raises(MemoryError, match='9 GiB'):
        load_image(tmp_path / 'a.png', decode)
