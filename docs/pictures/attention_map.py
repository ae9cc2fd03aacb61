"""Draws the attention of a run's pooling as an SVG with labels, from the image that TensorBoard shows.

    $(cargo xtask python) docs/pictures/attention_map.py runs/adapool-1 policy_encoder/attention docs/pictures/adapool_attention.svg

The image has one row of square cells per observation and one column per token (docs/metrics.md). Each cell is drawn larger,
without smoothing. Needs the packages tensorboard and pillow.
"""

import io
import sys

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CELL, GAP = 16, 4  # of the logged image, pixels
WIDTH, HEIGHT = 66, 24  # of a drawn cell
LEFT, TOP = 130, 84
ROWS = 16


def weights(run: str, tag: str) -> tuple[int, list[list[float]]]:
    """Env steps of the last image, and its weights relative to the largest of their row."""
    events = EventAccumulator(run, size_guidance={"images": 0})
    events.Reload()
    last = events.Images(tag)[-1]
    image = Image.open(io.BytesIO(last.encoded_image_string)).convert("RGB")
    columns, rows = image.width // CELL, (image.height + GAP) // (CELL + GAP)

    def weight(row: int, column: int) -> float:
        # From black by red and yellow to white, each a third of the way.
        return sum(image.getpixel((column * CELL, row * (CELL + GAP)))) / (3 * 255)

    return last.step, [[weight(row, column) for column in range(columns)] for row in range(rows)]


def shade(weight: float) -> str:
    """White for 0, dark blue for 1."""
    return "#" + "".join(f"{round(255 + weight * (dark - 255)):02x}" for dark in (8, 48, 107))


def main() -> None:
    run, tag, out = sys.argv[1:]
    step, rows = weights(run, tag)
    rows = [rows[place * len(rows) // ROWS] for place in range(ROWS)]
    tokens = len(rows[0])
    size = (LEFT + tokens * WIDTH + 20, TOP + ROWS * HEIGHT + 66)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" font-family="sans-serif" fill="#282828">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-size="20">{tag} after {step:,} env steps</text>',
        f'<text x="{LEFT}" y="50" font-size="14">attention weight of each token, by observation</text>',
    ]
    for token in range(tokens):
        name = "self" if token == 0 else f"entity {token}"
        x = LEFT + token * WIDTH + WIDTH / 2
        parts.append(f'<text x="{x:g}" y="{TOP - 8}" font-size="13" text-anchor="middle">{name}</text>')
    for row, cells in enumerate(rows):
        y = TOP + row * HEIGHT
        parts.append(f'<text x="{LEFT - 8}" y="{y + 17}" font-size="13" text-anchor="end">observation {row + 1}</text>')
        for token, weight in enumerate(cells):
            x = LEFT + token * WIDTH
            parts.append(
                f'<rect x="{x}" y="{y}" width="{WIDTH - 2}" height="{HEIGHT - 2}" fill="{shade(weight)}" stroke="#d0d0d0"/>'
            )
    y = TOP + ROWS * HEIGHT + 22
    for step in range(11):
        parts.append(f'<rect x="{LEFT + step * 18}" y="{y}" width="18" height="14" fill="{shade(step / 10)}" stroke="#d0d0d0"/>')
    parts.append(f'<text x="{LEFT}" y="{y + 30}" font-size="13">0</text>')
    parts.append(
        f'<text x="{LEFT + 11 * 18}" y="{y + 30}" font-size="13" text-anchor="end">largest weight of the row</text>'
    )
    parts.append("</svg>\n")
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))


if __name__ == "__main__":
    main()
