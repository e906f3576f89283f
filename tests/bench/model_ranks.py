"""The table of docs/scaling.md: what 8, 64 and 512 ranks of 32 cores would take for a step of the
CIFAR-10 U-Net, by a model of what was measured.

    model_ranks.py [--write]

Prints the table; with --write, puts it into docs/scaling.md between its marks.

A rank computes its images, whose time is that of bench_scaling. Each bucket of gradients then
travels: every rank sends each other its part, and adds up what it gets. This is hidden behind the
backward pass, but for the last bucket, until there is more of it than backward has time. Then each
rank updates its part of the model and sends it to all others, which nothing hides."""

import pathlib
import sys

# Predicted by build/tests/bench_scaling cifar10 2|16 f32|bf16 on 32 threads, as docs/scaling.md
# says: seconds of a step of so many images. Between them a line; above, in proportion.
STEP = {"f32": {2: 0.0841, 16: 0.400}, "bf16": {2: 0.0841, 16: 0.400}}
PARAMETERS = 35_746_307
CORES = 32

# Assumed, none of it measured here.
LATENCY = 10e-6  # seconds that a message costs its sender, with the polling of its receiver
MEMORY = 50e9  # bytes a second, of adding parts and of updating
BACKWARD = 2 / 3  # of a step's time
BUCKET = 25 * 2**20


def compute(dtype, images):
    few, many = STEP[dtype][2], STEP[dtype][16]
    if images >= 16:
        return many * images / 16
    return few + (many - few) * (images - 2) / 14


def step(ranks, images, dtype, wire, gbit):
    """Seconds of a step with so many images a rank, and of its parts. wire: bytes of a gradient."""
    nic = gbit / 8 * 1e9
    buckets = -(-PARAMETERS * 4 // BUCKET)
    share = (ranks - 1) / ranks
    latency = (ranks - 1) * LATENCY
    work = compute(dtype, images)
    scatter = PARAMETERS * wire * share / nic + buckets * latency
    add = PARAMETERS * 4 * 2 / MEMORY
    last = (scatter + add) / buckets
    exposed = max(scatter + add - BACKWARD * work, last)
    update = PARAMETERS / ranks * 4 * 8 / MEMORY
    gather = PARAMETERS * 4 * share / nic + buckets * latency
    return work + exposed + update + gather, work, exposed, update + gather


def limit(parts, ranks):
    total, work, exposed, gather = parts
    if work > 0.8 * total:
        return "compute"
    if exposed > gather:
        return "sending gradients"
    messages = 2 * -(-PARAMETERS * 4 // BUCKET) * (ranks - 1) * LATENCY
    return "the number of messages" if messages > gather / 2 else "sending parameters"


def table():
    lines = [
        "| ranks | network | images: a rank, in all | activations, gradients | ms a step | compute | "
        "waits | update, gather | images/s | of 1 rank's, times ranks | limit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for dtype, wire in (("f32", 4), ("bf16", 2)):
        for gbit in (10, 100):
            for ranks in (8, 64, 512):
                for images in (16, max(2, 1024 // ranks)):
                    parts = step(ranks, images, dtype, wire, gbit)
                    rate = ranks * images / parts[0]
                    alone = images / compute(dtype, images)
                    lines.append(
                        f"| {ranks} | {gbit} Gbit/s | {images}, {ranks * images} | {dtype}, "
                        f"{'bf16' if wire == 2 else 'f32'} | "
                        + " | ".join(f"{1e3 * p:.0f}" for p in parts)
                        + f" | {rate:.0f} | {rate / (alone * ranks):.0%} | {limit(parts, ranks)} |"
                    )
    return list(dict.fromkeys(lines))  # 64 ranks have 16 images each either way


def main():
    text = "\n".join(table()) + "\n"
    if sys.argv[1:] != ["--write"]:
        print(text, end="")
        return
    page = pathlib.Path(__file__).parents[2] / "docs/scaling.md"
    begin, end = "<!-- MODEL, BEGIN -->\n", "<!-- MODEL, END -->"
    before, rest = page.read_text().split(begin)
    page.write_text(before + begin + text + end + rest.split(end)[1])


main()
