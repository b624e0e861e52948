"""Odd pictures, and what Pillow and torchvision make of them: the fixtures of src/images.

    python3 odd_images.py        needs Pillow, numpy and torchvision

writes images/ (small synthetic pictures in many formats), expected/ (a PNG each) and images.json beside this file. An
expected picture is 32 wide and has four parts above one another: what OpenAI's transform gives (resize, crop, then RGB),
the same of a picture that was RGB first, both squares of 32; the same two squashed. Another has the decoded RGB.
"""
import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageCms, ImageOps, features
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

here = Path(__file__).parent
images, expected = here / 'images', here / 'expected'
SIZE = 32
UPRIGHT = {'orientation-6.jpg': 6, 'orientation-7.jpg': 7}
BOXES = [[10, 20, 80, 60], [-15, -10, 70, 70], [100.5, 60.5, 90, 80], [-40, 5, 300, 40], [200, 10, 20, 20], [3, 3, 1, 1]]
# height, width, patch, most patches
NAFLEX = [[44, 61, 16, 256], [61, 44, 8, 30], [3, 700, 16, 256], [113, 151, 14, 64], [1, 1, 16, 9], [480, 640, 16, 1024]]


def picture(width=61, height=44, seed=0):
    """Waves, edges and a little noise: smooth parts, sharp parts, all colours."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red = 128 + 110 * np.sin(x / 5 + y / 9)
    green = 255 * ((x // 7 + y // 5) % 2)
    blue = 255 * x / max(width - 1, 1)
    rgb = np.stack([red, green, blue], -1) + noise.normal(0, 6, (height, width, 3))
    return rgb.clip(0, 255).astype(np.uint8)


def alpha(width=61, height=44):
    y, x = np.mgrid[0:height, 0:width].astype(float)
    distance = np.hypot(x - width / 2, y - height / 2)
    return (255 * (1.3 - distance / 20).clip(0, 1)).astype(np.uint8)


def png(pixels, colour_type, depth, *chunks):
    """A PNG of rows that are packed already; for what Pillow cannot write."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    height, width = pixels.shape[:2]
    rows = pixels.astype('>u2') if depth == 16 else pixels
    if depth < 8:
        bits = np.unpackbits(pixels[..., None], axis=-1)[..., 8 - depth:].reshape(height, -1)
        rows = np.packbits(bits, axis=1)
    raw = b''.join(b'\0' + row.tobytes() for row in rows)
    header = struct.pack('>IIBBBBB', width, height, depth, colour_type, 0, 0, 0)
    body = b''.join(chunk(kind, data) for kind, data in chunks)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + body + chunk(b'IDAT', zlib.compress(raw, 9)) + chunk(b'IEND', b'')


def swapped_profile():
    """An sRGB profile in which red and blue are exchanged: nobody who applies it can miss it."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    data[24:36] = bytes(12)  # when it was made: now
    entries = {bytes(data[132 + 12 * i:136 + 12 * i]): 132 + 12 * i for i in range(struct.unpack('>I', data[128:132])[0])}
    red, blue = entries[b'rXYZ'], entries[b'bXYZ']
    data[red + 4:red + 12], data[blue + 4:blue + 12] = data[blue + 4:blue + 12], data[red + 4:red + 12]
    return bytes(data)


def without_adobe(jpeg):
    """A JPEG without its Adobe segment."""
    at = jpeg.index(b'\xff\xee')
    return jpeg[:at] + jpeg[at + 2 + struct.unpack('>H', jpeg[at + 2:at + 4])[0]:]


def gif(width, height, palette, frame, indices, transparent=None, local=None):
    """A GIF of one frame at `frame` = (left, top), its codes not compressed: each index has a code of 9 bits."""
    def table(colours):
        return b''.join(bytes(c) for c in colours)
    h, w = indices.shape
    out = b'GIF89a' + struct.pack('<HHBBB', width, height, 0xf7 if palette else 0x70, 2, 0) + table(palette or [])
    if transparent is not None:
        out += b'\x21\xf9\x04\x01\0\0' + bytes([transparent]) + b'\0'
    out += b'\x2c' + struct.pack('<HHHHB', *frame, w, h, 0x87 if local else 0) + table(local or []) + b'\x08'
    bits, count = 0, 0
    codes = []
    for i, value in enumerate(indices.flatten().tolist()):
        if i % 200 == 0:
            codes.append(256)
        codes.append(value)
    codes.append(257)
    data = bytearray()
    for code in codes:
        bits |= code << count
        count += 9
        while count >= 8:
            data.append(bits & 255)
            bits >>= 8
            count -= 8
    data.append(bits & 255)
    for at in range(0, len(data), 255):
        part = data[at:at + 255]
        out += bytes([len(part)]) + part
    return out + b'\0\x3b'


def save(image, name, **options):
    image.save(images / name, **options)


def write_all():
    rgb = picture()
    whole = Image.fromarray(rgb)
    grey = whole.convert('L')
    see_through = Image.fromarray(np.dstack([rgb, alpha()]))
    wide = np.asarray(grey).astype(np.uint16) * 257
    dim = np.asarray(grey).astype(np.uint16) * 2  # so that not all of it is clipped

    save(whole, 'rgb.jpg', quality=90)
    save(whole, 'rgb-444.jpg', quality=95, subsampling=0)
    save(whole, 'rgb-422.jpg', quality=85, subsampling=1)
    save(whole, 'progressive.jpg', quality=80, progressive=True)
    save(grey, 'grey.jpg', quality=90)
    cmyk = Image.fromarray(np.dstack([255 - rgb, 255 - alpha()]), 'CMYK')
    save(cmyk, 'cmyk.jpg', quality=95)
    (images / 'cmyk-no-adobe.jpg').write_bytes(without_adobe((images / 'cmyk.jpg').read_bytes()))
    for orientation in UPRIGHT.values():
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(whole, f'orientation-{orientation}.jpg', quality=90, exif=exif)
    save(whole, 'profile.jpg', quality=95, icc_profile=swapped_profile())

    save(whole, 'rgb.png')
    save(see_through, 'rgba.png')
    save(grey, 'grey.png')
    save(see_through.convert('LA'), 'grey-alpha.png')
    save(whole.quantize(64), 'palette.png')
    save(whole.quantize(16), 'palette-4-bit.png', bits=4)
    save(whole.quantize(64), 'palette-transparent.png', transparency=bytes([0, 80, 255, 0, 20] + [255] * 59))
    save(whole.quantize(64), 'palette-one-transparent.png', transparency=3)
    save(grey.convert('1'), 'grey-1-bit.png')
    (images / 'grey-2-bit.png').write_bytes(png(np.asarray(grey) >> 6, 0, 2))
    (images / 'grey-4-bit.png').write_bytes(png(np.asarray(grey) >> 4, 0, 4))
    (images / 'grey-16-bit.png').write_bytes(png(wide, 0, 16))
    (images / 'grey-16-bit-dim.png').write_bytes(png(dim, 0, 16))
    fine = rgb.astype(np.uint16) * 256 + np.roll(rgb, 7, 1)
    (images / 'rgb-16-bit.png').write_bytes(png(fine, 2, 16))
    (images / 'rgba-16-bit.png').write_bytes(png(np.dstack([fine, alpha().astype(np.uint16) * 256 + 200]), 6, 16))
    (images / 'grey-alpha-16-bit.png').write_bytes(png(np.dstack([fine[..., 0], alpha().astype(np.uint16) * 256 + 90]), 4, 16))
    (images / 'rgb-colour-key.png').write_bytes(png(rgb, 2, 8, (b'tRNS', struct.pack('>HHH', *rgb[10, 10].tolist()))))
    (images / 'grey-colour-key.png').write_bytes(png(np.asarray(grey), 0, 8, (b'tRNS', struct.pack('>H', int(np.asarray(grey)[3, 3])))))
    (images / 'gamma.png').write_bytes(png(rgb, 2, 8, (b'gAMA', struct.pack('>I', 100000))))
    save(whole, 'profile.png', icc_profile=swapped_profile())

    save(whole, 'rgb.tiff', compression='tiff_lzw')
    save(see_through, 'rgba.tiff', compression='tiff_adobe_deflate')
    save(cmyk, 'cmyk.tiff', compression='tiff_lzw')
    save(whole.quantize(64), 'palette.tiff', compression='tiff_lzw')
    save(grey.convert('1'), 'grey-1-bit.tiff', compression='group4')
    save(Image.fromarray(dim), 'grey-16-bit.tiff')
    save(whole, 'orientation-8.tiff', tiffinfo={274: 8})

    save(whole.quantize(64), 'palette.gif')
    rest = [whole.quantize(64).rotate(90 * i) for i in (1, 2)]
    save(whole.quantize(64), 'animated.gif', save_all=True, append_images=rest, duration=90)
    ramp = [(i, i, i) for i in range(256)]
    colours = [((i * 37) % 256, (i * 91 + 40) % 256, 255 - i) for i in range(256)]
    indices = np.asarray(grey)
    (images / 'grey.gif').write_bytes(gif(61, 44, ramp, (0, 0), indices))
    (images / 'transparent.gif').write_bytes(gif(61, 44, colours, (0, 0), indices, transparent=int(indices[5, 5])))
    (images / 'frame-inside.gif').write_bytes(gif(61, 44, colours, (9, 6), indices[:30, :40]))
    (images / 'frame-inside-transparent.gif').write_bytes(gif(61, 44, colours, (9, 6), indices[:30, :40], transparent=int(indices[5, 5])))
    (images / 'local-palette.gif').write_bytes(gif(61, 44, None, (0, 0), indices, transparent=7, local=colours))

    save(whole, 'rgb.webp', quality=85)
    save(see_through, 'rgba.webp', lossless=True, exact=True)
    save(whole, 'animated.webp', save_all=True, append_images=[whole.rotate(90)], lossless=True)

    save(Image.fromarray(picture(1, 90)), 'one-wide.png')
    save(Image.fromarray(picture(90, 1)), 'one-high.png')
    save(Image.fromarray(picture(1, 1)), 'one-pixel.png')
    save(Image.fromarray(picture(700, 3)), 'strip.png')
    save(Image.fromarray(picture(5, 7)), 'tiny.png')
    save(Image.fromarray(picture(151, 113)), 'large.jpg', quality=60)


BICUBIC = InterpolationMode.BICUBIC
CLIP = Compose([Resize(SIZE, BICUBIC), CenterCrop(SIZE), lambda image: image.convert('RGB')])
SQUASH = Compose([Resize((SIZE, SIZE), BICUBIC), lambda image: image.convert('RGB')])


def resizable(image):
    """Pillow 9 does not resize I;16, which newer versions do as they do I; both clip it to RGB in the end."""
    return image.convert('I') if image.mode.startswith('I;16') else image


def patched(height, width, patch, most):
    """NaFlex's size: the largest scale, to 1e-5, at which both sides, rounded up to patches, make no more than `most`."""
    def size(scale):
        return [max(patch, math.ceil(side * scale / patch) * patch) for side in (height, width)]
    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        rows, columns = size(middle)
        if (rows // patch) * (columns // patch) <= most:
            low = middle
        else:
            high = middle
    return size(low)


def main():
    for folder in (images, expected):
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
    write_all()
    listed = []
    for path in sorted(images.iterdir()):
        image = Image.open(path)
        image.load()
        mode = image.mode
        image = resizable(image)
        decoded = image.convert('RGB')
        parts = [CLIP(image), CLIP(decoded), SQUASH(image), SQUASH(decoded)]
        strip = np.concatenate([np.asarray(part) for part in parts])
        Image.fromarray(strip).save(expected / f'{path.name}.png', optimize=True)
        decoded.save(expected / f'{path.name}.decoded.png', optimize=True, icc_profile=None)
        listed.append({'name': path.name, 'mode': mode, 'width': image.width, 'height': image.height})
        if path.name in UPRIGHT:
            upright = ImageOps.exif_transpose(image).convert('RGB')
            upright.save(expected / f'{path.name}.upright.png', optimize=True, exif=b'', icc_profile=None)
    photo = Image.open(images / 'large.jpg').convert('RGB')
    cuts = [CLIP(photo.crop((x, y, x + w, y + h))) for x, y, w, h in BOXES]
    Image.fromarray(np.concatenate([np.asarray(cut) for cut in cuts])).save(expected / 'boxes.png', optimize=True)
    height, width = patched(photo.height, photo.width, 14, 64)
    photo.resize((width, height), Image.Resampling.BILINEAR).save(expected / 'naflex.png', optimize=True)
    naflex = [{'of': of, 'size': patched(*of)} for of in NAFLEX]
    about = {'pillow': PIL.__version__, 'libjpeg': features.version('jpg'), 'webp': features.version('webp'), 'size': SIZE}
    (here / 'images.json').write_text(json.dumps({'made': about, 'boxes': BOXES, 'naflex': naflex, 'images': listed}, indent=1) + '\n')


main()
