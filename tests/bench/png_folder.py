"""Write N PNG files of 32x32 in ten classes: png_folder.py N DIR. For the times in docs/data.md."""

import os
import random
import struct
import sys
import zlib

SIDE = 32


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rng):
    colour = bytes(rng.randrange(240) for _ in range(3))
    row = colour * SIDE
    lines = (bytes([0]) + bytes(a + b % 16 for a, b in zip(row, rng.randbytes(3 * SIDE))) for _ in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(lines), 1)) +
            chunk(b"IEND", b""))


def main(n, root):
    rng = random.Random(0)
    for k in range(10):
        os.makedirs(f"{root}/class{k}", exist_ok=True)
    for i in range(n):
        with open(f"{root}/class{i % 10}/{i:05d}.png", "wb") as f:
            f.write(png(rng))


main(int(sys.argv[1]), sys.argv[2])
