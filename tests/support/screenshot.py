"""What a terminal shows, as a picture: the text of `tmux capture-pane -e` to SVG, colours and all."""

import os
import re
import unicodedata
from xml.sax.saxutils import escape

from scidextest import BUILD

CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 12
BACKGROUND, FOREGROUND = "#16181d", "#d4d7dd"
COLOURS = {30: "#16181d", 31: "#f0716b", 32: "#7bc275", 33: "#e5c07b", 34: "#6cb0f5", 35: "#c792ea", 36: "#5fc7d4", 37: FOREGROUND}
SEQUENCE = re.compile(r"\x1b\[([0-9;]*)m")


class Style:
    def __init__(self):
        self.reset()

    def reset(self):
        self.colour, self.bold, self.reverse = FOREGROUND, False, False

    def take(self, codes):
        for code in (int(code or 0) for code in codes.split(";")):
            if code == 0:
                self.reset()
            elif code in (1, 22):
                self.bold = code == 1
            elif code in (7, 27):
                self.reverse = code == 7
            elif code == 39:
                self.colour = FOREGROUND
            elif code in COLOURS:
                self.colour = COLOURS[code]


def columns_of(text):
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def line_to_svg(line, y, style, out):
    column = 0
    parts = SEQUENCE.split(line)
    for i, part in enumerate(parts):
        if i % 2:
            style.take(part)
            continue
        if not part:
            continue
        x, width = MARGIN + column * CELL_WIDTH, columns_of(part) * CELL_WIDTH
        colour = BACKGROUND if style.reverse else style.colour
        if style.reverse:
            out.append(f'<rect x="{x:.1f}" y="{y - 13:.1f}" width="{width:.1f}" height="{CELL_HEIGHT}" fill="{style.colour}"/>')
        # Word by word, each at its place: SVG makes one blank of many.
        for word in re.finditer(r"\S+", part):
            x, width = MARGIN + (column + columns_of(part[: word.start()])) * CELL_WIDTH, columns_of(word[0]) * CELL_WIDTH
            weight = ' font-weight="bold"' if style.bold else ""
            out.append(
                f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{weight} textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs">{escape(word[0])}</text>'
            )
        column += columns_of(part)


def to_svg(text, columns, title):
    # What the shell says after the program has ended is not the program's.
    lines = text.partition("ended with")[0].rstrip("\n").split("\n")
    width, height = 2 * MARGIN + columns * CELL_WIDTH, 2 * MARGIN + len(lines) * CELL_HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>',
        '<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">',
    ]
    style = Style()
    for i, line in enumerate(lines):
        line_to_svg(line, MARGIN + 13 + i * CELL_HEIGHT, style, out)
    return "\n".join([*out, "</g>", "</svg>"]) + "\n"


def keep(terminal, name, title):
    """Puts what the terminal shows below $SCIDEX_SCREENSHOTS, else the build directory; where that can't be written it is not kept."""
    directory = os.environ.get("SCIDEX_SCREENSHOTS") or os.path.join(BUILD, "screenshots")
    try:
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, name + ".svg"), "w", encoding="utf-8") as file:
            file.write(to_svg(terminal.screen_coloured(), terminal.columns, title))
    except OSError:
        pass
