"""The table of docs/scaling.md: what 8, 64 and 512 ranks of 32 cores would take for a step of the
CIFAR-10 U-Net, by a model.

    model_ranks.py [--write]

Prints the table; with --write, puts it into docs/scaling.md between its marks.

A rank computes its images. Each bucket of gradients then travels: every rank sends each other its
part, and adds up what it gets. Backward hides this, as far as it is longer, but for the last
bucket. Then each rank updates its part of the model and sends it to all others, which nothing
hides. Slices are as many as ranks."""

import pathlib
import sys

# Seconds of a step of so many images on 32 cores, as build/tests/bench_scaling cifar10 2|16
# predicts them; between them a line, above in proportion.
STEP = {2: 0.0841, 16: 0.2084}
PARAMETERS = 35_746_307

# Assumed; none of it was measured.
LATENCY = 10e-6  # seconds that a message costs its rank
MEMORY = 50e9  # bytes a second, of adding parts and of updating
BACKWARD = 2 / 3  # of a step's time
BUCKET = 25 * 2**20
BUCKETS = -(-PARAMETERS * 4 // BUCKET)


def compute(images):
    if images >= 16:
        return STEP[16] * images / 16
    return STEP[2] + (STEP[16] - STEP[2]) * (images - 2) / 14


def step(ranks, images, wire, gbit):
    """Seconds of a step with so many images a rank, and of its parts. wire: bytes of a gradient."""
    bandwidth = gbit / 8 * 1e9
    share = (ranks - 1) / ranks
    messages = BUCKETS * (ranks - 1) * LATENCY
    work = compute(images)
    scatter = PARAMETERS * wire * share / bandwidth + messages + PARAMETERS * 8 / MEMORY
    waits = max(scatter - BACKWARD * work, scatter / BUCKETS)
    update = PARAMETERS / ranks * 32 / MEMORY
    gather = PARAMETERS * 4 * share / bandwidth + messages
    return work + waits + update + gather, work, waits, update + gather, messages


def limit(total, work, waits, gather, messages):
    if work > 0.9 * total:
        return "compute"
    if messages > gather / 2:
        return "number of messages"
    return "gathering parameters" if gather > waits else "adding gradients"


def table():
    yield (
        "| network | ranks | images a rank | in all | gradients | ms a step | compute | waits | "
        "update, gather | images/s | efficiency | limit |"
    )
    yield "| " + " | ".join(["---"] * 12) + " |"
    for gbit in (10, 100):
        for ranks in (8, 64, 512):
            for images in sorted({16, max(2, 1024 // ranks)}, reverse=True):
                for wire in (4, 2) if gbit == 10 else (4,):
                    *parts, messages = step(ranks, images, wire, gbit)
                    rate = ranks * images / parts[0]
                    yield (
                        f"| {gbit} Gbit/s | {ranks} | {images} | {ranks * images} | "
                        f"{'f32' if wire == 4 else 'bf16'} | "
                        + " | ".join(f"{1e3 * p:.0f}" for p in parts)
                        + f" | {rate:.0f} | {parts[1] / parts[0]:.0%} | {limit(*parts, messages)} |"
                    )


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
