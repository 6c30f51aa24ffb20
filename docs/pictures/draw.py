#!/usr/bin/env python3
"""Draws a captured terminal screen as a PNG: every cell in its place, blocks and braille as shapes.

usage: tmux capture-pane -e -p -t PANE | draw.py COLUMNS ROWS FILE.png

Needs pyte and Pillow (pip install pyte Pillow) and the DejaVu fonts (apt-get install fonts-dejavu-core).
"""

import sys

import pyte
from PIL import Image, ImageDraw, ImageFont

FONT_FOLDER = "/usr/share/fonts/truetype/dejavu"
FONT_SIZE = 26
MARGIN = 24
PAPER, INK = (18, 20, 26), (222, 224, 230)
# The sixteen colours by pyte's names; everything else arrives as six hexadecimal digits.
NAMED = {
    "black": (38, 42, 51), "red": (224, 90, 90), "green": (92, 190, 130), "brown": (222, 170, 80),
    "blue": (90, 150, 235), "magenta": (190, 120, 220), "cyan": (80, 190, 200), "white": (222, 224, 230),
}


def colour(name, fallback):
    """A pyte colour as red, green, blue."""
    if name == "default":
        return fallback
    plain = name.removeprefix("bright")
    if plain in NAMED:
        lift = 30 if name != plain else 0
        return tuple(min(255, part + lift) for part in NAMED[plain])
    return tuple(int(name[at:at + 2], 16) for at in (0, 2, 4))


class Sheet:
    """The picture, addressed by cells."""

    def __init__(self, columns, rows):
        faces = {False: "DejaVuSansMono.ttf", True: "DejaVuSansMono-Bold.ttf"}
        self.fonts = {bold: ImageFont.truetype(f"{FONT_FOLDER}/{face}", FONT_SIZE) for bold, face in faces.items()}
        self.width = round(self.fonts[False].getlength("0"))
        ascent, descent = self.fonts[False].getmetrics()
        self.height = ascent + descent
        size = (columns * self.width + 2 * MARGIN, rows * self.height + 2 * MARGIN)
        self.image = Image.new("RGB", size, PAPER)
        self.canvas = ImageDraw.Draw(self.image)

    def cell(self, column, row, cell):
        """Draws one cell: its ground, then its character."""
        ink, ground = colour(cell.fg, INK), colour(cell.bg, PAPER)
        if cell.reverse:
            ink, ground = ground, ink
        left, top = MARGIN + column * self.width, MARGIN + row * self.height
        if ground != PAPER:
            self.canvas.rectangle((left, top, left + self.width - 1, top + self.height - 1), fill=ground)
        if cell.data.strip():
            self.character(left, top, cell.data, ink, cell.bold)

    def character(self, left, top, text, ink, bold):
        """Draws one character: what charts are made of as shapes, so that they join; everything else as text."""
        code = ord(text[0])
        right, bottom = left + self.width - 1, top + self.height - 1
        if 0x2581 <= code <= 0x2588:
            filled = self.height * (code - 0x2580) / 8
            self.canvas.rectangle((left, round(bottom + 1 - filled), right, bottom), fill=ink)
        elif 0x2800 <= code <= 0x28FF:
            self.braille(left, top, code - 0x2800, ink)
        elif text == "─":
            middle = top + self.height // 2
            self.canvas.rectangle((left, middle, right, middle + 1), fill=ink)
        elif text == "░":
            shade = tuple((part + 3 * paper) // 4 for part, paper in zip(ink, PAPER))
            self.canvas.rectangle((left, top, right, bottom), fill=shade)
        else:
            self.canvas.text((left, top), text, font=self.fonts[bold], fill=ink)

    def braille(self, left, top, bits, ink):
        """Draws the dots of a braille character on a regular grid."""
        places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
        radius = self.width / 6.5
        for bit, (across, down) in enumerate(places):
            if bits >> bit & 1:
                x = left + self.width * (across + 0.5) / 2
                y = top + self.height * (down + 0.5) / 4
                self.canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    columns, rows, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    screen = pyte.Screen(columns, rows)
    captured = sys.stdin.read().rstrip("\n").replace("\n", "\r\n")
    pyte.Stream(screen).feed(captured)
    sheet = Sheet(columns, rows)
    for row in range(rows):
        for column in range(columns):
            sheet.cell(column, row, screen.buffer[row][column])
    sheet.image.save(path, optimize=True)


if __name__ == "__main__":
    main()
