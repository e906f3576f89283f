"""Writes images.safetensors: image files that are unusual or a little damaged, and what Pillow, which
has libpng's rules and libjpeg and libwebp themselves, makes of them.

For each NAME there are NAME.file, its bytes, NAME.pixels, u8 [3, H, W], turned by the EXIF orientation,
without alpha, and NAME.info: channels, bits, orientation, whether there is alpha.
"""

import io
import os
import platform
import struct
import zlib

import numpy as np
import PIL
import safetensors
from PIL import Image, ImageOps
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 13, 10

generator = np.random.Generator(np.random.PCG64(1992))
y, x = np.mgrid[0:H, 0:W]
colours = np.stack([x * 19, y * 25, 255 - x * 9 - y * 14], -1).astype(np.uint8)
arrays = {}


def put(name, data, channels=3, bits=8, orientation=1, alpha=False):
    image = Image.open(io.BytesIO(data))
    image.load()
    pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    arrays[name + ".file"] = np.frombuffer(data, np.uint8)
    arrays[name + ".pixels"] = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    arrays[name + ".info"] = np.array([channels, bits, orientation, alpha], np.int64)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation, order):
    """A directory of three entries; another one comes first."""
    entries = [(0x0100, 3, 1, 99), (0x0112, 3, 1, orientation), (0x0128, 3, 1, 2)]
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHIHH", t, k, n, v, 0) for t, k, n, v in entries) + bytes(4)


# ---- PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks, colour=2, depth=8):
    header = struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks)


rows = b"".join(b"\0" + row.tobytes() for row in colours)
data = zlib.compress(rows)
end = chunk(b"IEND", b"")
put("png/bytes_after_end", png(chunk(b"IDAT", data), end) + b"trailing bytes")
put("png/bytes_after_data", png(chunk(b"IDAT", data + b"more"), end))
put("png/chunk_after_data", png(chunk(b"IDAT", data), chunk(b"IDAT", b"more"), end))
put("png/rows_too_many", png(chunk(b"IDAT", zlib.compress(rows + rows[: 3 * W + 1])), end))
noise = generator.integers(0, 256, (2 * H, 3 * W), np.uint8)
noise = zlib.compress(b"".join(b"\0" + row.tobytes() for row in noise))
put("png/noise_too_long", png(chunk(b"IDAT", noise[:999]), chunk(b"IDAT", noise[999:]), end))
put("png/empty_chunks", png(chunk(b"IDAT", b""), chunk(b"IDAT", data[:9]), chunk(b"IDAT", b""),
                            chunk(b"IDAT", data[9:]), end))
put("png/suggested_palette", png(chunk(b"PLTE", bytes(range(6))), chunk(b"IDAT", data), end))
for o in range(1, 9):
    put(f"png/orientation_{o}", png(chunk(b"eXIf", exif(o, "<>"[o % 2])), chunk(b"IDAT", data), end),
        orientation=o)
put("png/orientation_behind", png(chunk(b"IDAT", data), chunk(b"eXIf", exif(6, ">")), end), orientation=6)
transparent = Image.fromarray(colours).quantize(16)
indices_of = np.asarray(Image.fromarray(colours).quantize(16))
put("png/palette_too_long", png(chunk(b"PLTE", bytes(range(48))), chunk(b"IDAT", zlib.compress(
    b"".join(b"\0" + row.tobytes() for row in np.concatenate([indices_of] * 2)))), end, colour=3))
put("png/transparent_palette", saved(transparent, "png", transparency=3), alpha=True)

# ---- JPEG

big = Image.fromarray(colours).resize((2 * W, 2 * H), Image.Resampling.BICUBIC)


def adobe(data, transform):
    """With that byte of Adobe's marker; None takes the marker away."""
    at = data.index(b"\xff\xeeXX"[:2])
    assert data[at + 4 : at + 9] == b"Adobe"
    if transform is None:
        return data[:at] + data[at + 16 :]
    return data[: at + 15] + bytes([transform]) + data[at + 16 :]


def without_jfif(data):
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[4 + struct.unpack(">H", data[4:6])[0] :]


def renamed(data, names):
    """Components of other names, in the frame and in the one scan."""
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    data = bytearray(data)
    for i, name in enumerate(names):
        data[frame + 10 + 3 * i] = name
        data[scan + 5 + 2 * i] = name
    return bytes(data)


def segments(data):
    """Where each segment of a JPEG begins, up to the first scan."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        found.append(at)
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return found + [at]


ycc = saved(big, "jpeg", quality=90)
subsampled = saved(big, "jpeg", quality=90, subsampling="4:2:0")
cmyk = Image.merge("CMYK", [*(Image.fromarray(255 - np.asarray(big))).split(),
                            Image.fromarray(np.asarray(big)[:, :, 1] // 3)])
four = saved(cmyk, "jpeg", quality=95)
rgb = saved(big, "jpeg", quality=95, keep_rgb=True)
put("jpeg/cmyk", four, channels=4)
put("jpeg/cmyk_progressive", saved(cmyk, "jpeg", quality=95, progressive=True), channels=4)
put("jpeg/cmyk_without_adobe", adobe(four, None), channels=4)
put("jpeg/ycck", adobe(four, 2), channels=4)
put("jpeg/ycck_of_another_number", adobe(four, 1), channels=4)
put("jpeg/rgb_by_adobe", renamed(rgb, (1, 2, 3)))
put("jpeg/rgb_by_names", adobe(rgb, None))
put("jpeg/ycc_of_rgb_names", renamed(ycc, b"RGB"))
put("jpeg/ycc_by_adobe_of_rgb_names", adobe(rgb, 1))
put("jpeg/ycc_of_other_names", renamed(without_jfif(ycc), (0, 7, 200)))
between = b"".join(
    subsampled[a:b] + junk
    for a, b, junk in zip([0] + segments(subsampled), segments(subsampled),
                          [b"", b"\0\0\0", b"\xff\0", b"\xff\xd3", b"some text"] + 9 * [b"\0"])
) + subsampled[segments(subsampled)[-1] :]
put("jpeg/bytes_between_segments", between)
put("jpeg/bytes_after_data", subsampled[:-2] + b"\0\0\0\0" + subsampled[-2:])
put("jpeg/bytes_after_end", subsampled + b"trailing bytes")
grey = big.convert("L")
for o in range(1, 9):
    put(f"jpeg/orientation_{o}", saved(grey, "jpeg", exif=b"Exif\0\0" + exif(o, "<>"[o % 2])), channels=1,
        orientation=o)

# ---- BMP


def bmp(bits, pixels, header=40, compression=0, masks=(), palette=b"", gap=0, colours=0, height=H):
    if header == 12:
        information = struct.pack("<IHHHH", 12, W, height, 1, bits)
    else:
        information = struct.pack("<IiiHHIIIIII", header, W, height, 1, bits, compression, len(pixels), 0, 0,
                                  colours, 0)
        information += struct.pack(f"<{len(masks)}I", *masks)
        information += bytes(max(0, header - len(information)))
    start = 14 + len(information) + len(palette) + gap
    return struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + information + palette + bytes(gap) + pixels


def lines(array):
    """Rows of bytes, the lowest first, each filled to four."""
    rows = [row.tobytes() for row in array[::-1]]
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def packed(array, bits):
    """Rows of numbers of fewer than 8 bits."""
    out = np.zeros((H, (W * bits + 7) // 8), np.uint8)
    for i in range(W):
        out[:, i * bits // 8] |= (array[:, i] << (8 - bits - i * bits % 8)).astype(np.uint8)
    return out


bgr = np.ascontiguousarray(colours[:, :, ::-1])
bgrx = np.concatenate([bgr, np.full((H, W, 1), 77, np.uint8)], -1)
table = generator.integers(0, 256, (256, 4), np.uint8)
table[:, 3] = 0
indices = generator.integers(0, 256, (H, W), np.uint8)
two = generator.integers(0, 65536, (H, W)).astype(np.uint16)
B, G, R, A = 0xFF, 0xFF00, 0xFF0000, 0xFF000000
put("bmp/24_bits_after_a_gap", bmp(24, lines(bgr), gap=10))
put("bmp/24_bits_top_first", bmp(24, lines(bgr[::-1]), height=-H))
put("bmp/24_bits_of_os2", bmp(24, lines(bgr), header=12))
put("bmp/24_bits_of_os2_2", bmp(24, lines(bgr), header=64))
put("bmp/32_bits", bmp(32, lines(bgrx)))
put("bmp/16_bits", bmp(16, lines(two)))
put("bmp/16_bit_fields_565", bmp(16, lines(two), compression=3, masks=(0xF800, 0x7E0, 0x1F)))
put("bmp/16_bit_fields_555", bmp(16, lines(two), compression=3, masks=(0x7C00, 0x3E0, 0x1F)))
put("bmp/24_bit_fields", bmp(24, lines(bgr), compression=3, masks=(R, G, B)))
put("bmp/32_bit_fields", bmp(32, lines(bgrx), compression=3, masks=(R, G, B)))
put("bmp/32_bit_fields_reversed", bmp(32, lines(bgrx), compression=3, masks=(A, R, G)))
put("bmp/32_bit_fields_52", bmp(32, lines(bgrx), header=52, compression=3, masks=(A, R, G)))
put("bmp/32_bit_fields_56", bmp(32, lines(bgrx), header=56, compression=3, masks=(R, G, B, A)), alpha=True)
put("bmp/32_bit_fields_4", bmp(32, lines(bgrx), header=108, compression=3, masks=(B, G, R, A)), alpha=True)
put("bmp/32_bit_fields_5", bmp(32, lines(bgrx), header=124, compression=3, masks=(R, G, B, A)), alpha=True)
put("bmp/32_bit_fields_not_said", bmp(32, lines(bgrx), compression=3, masks=(0, 0, 0)))
put("bmp/8_bits", bmp(8, lines(indices), palette=table.tobytes()))
put("bmp/8_bits_of_os2", bmp(8, lines(indices), header=12, palette=table[:, :3].tobytes()))
put("bmp/8_bits_of_few_colours",
    bmp(8, lines(indices % 7), palette=table[:7].tobytes(), colours=7, gap=8))
put("bmp/4_bits", bmp(4, lines(packed(indices % 16, 4)), palette=table[:16].tobytes()))
put("bmp/1_bit", bmp(1, lines(packed(indices % 2, 1)), palette=table[:2].tobytes()))

# Runs, bytes as they are (an odd and an even number), steps, and an end of each kind. No row is empty:
# Pillow leaves such a row out.
row_ends = b"\0\0".join
runs_8 = row_ends([b"\5\1\0\3\2\3\4\0\5\6", b"\0\4\7\x08\t\n\t\x0b"] + [b"\x0d\x0c"] * 2) + (
    b"\0\0\2\x0d\0\2\3\2\4\x0e\0\0\1\x0f\0\2\2\1\1\x0f\0\0\x0d\x10\0\1")
put("bmp/8_bit_runs", bmp(8, runs_8, compression=1, palette=table.tobytes()))
runs_4 = row_ends([b"\5\x12\0\3\x34\x50\5\x67", b"\0\6\x89\xab\xcd\0\7\xef"] + [b"\x0d\x11"] * 2) + (
    b"\0\0\2\x23\0\2\3\2\4\x45\0\0\1\x50\0\2\2\1\1\x60\0\0\x0d\x78\0\1")
put("bmp/4_bit_runs", bmp(4, runs_4, compression=2, palette=table[:16].tobytes()))

# ---- WebP

both = Image.fromarray(np.concatenate([colours, (x * 20).astype(np.uint8)[:, :, None]], -1), "RGBA")
put("webp/lossless", saved(Image.fromarray(colours), "webp", lossless=True))
put("webp/lossy", saved(big, "webp", quality=80))
put("webp/lossless_alpha", saved(both, "webp", lossless=True, exact=True), alpha=True)
put("webp/lossy_alpha", saved(both, "webp", quality=80, exact=True), alpha=True)
for o in (6, 7):
    put(f"webp/orientation_{o}", saved(Image.fromarray(colours), "webp", lossless=True, exif=exif(o, ">")),
        orientation=o)
animated = saved(Image.fromarray(colours), "webp", lossless=True, save_all=True,
                 append_images=[Image.fromarray(255 - colours)], duration=100)
arrays["webp/animated.bytes"] = np.frombuffer(animated, np.uint8)

versions = {"made_with": f"Pillow {PIL.__version__}, numpy {np.__version__}, safetensors "
                         f"{safetensors.__version__}, Python {platform.python_version()}"}
save_file(arrays, os.path.join(HERE, "images.safetensors"), versions)
print(len([n for n in arrays if n.endswith(".file")]), "files,",
      os.path.getsize(os.path.join(HERE, "images.safetensors")), "bytes")
