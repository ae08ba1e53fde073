"""Draws a captured terminal: picture.py OUT.png WIDTH HEIGHT CARET_X CARET_Y <captured."""

import os
import re
import sys
import unicodedata

from PIL import Image, ImageDraw, ImageFont

FOREGROUND, BACKGROUND = (224, 226, 234), (20, 22, 27)
BASIC = [(0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205),
         (229, 229, 229), (102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234),
         (214, 112, 214), (41, 184, 219), (255, 255, 255)]


def indexed(number):
    """The colour with a number, in the palette that most terminals have."""
    if number < 16:
        return BASIC[number]
    if number < 232:
        number -= 16
        return tuple(0 if part == 0 else 55 + 40 * part for part in (number // 36, number // 6 % 6, number % 6))
    return (8 + 10 * (number - 232),) * 3


def apply(style, codes):
    """Changes a style as `Select Graphic Rendition` says."""
    codes = [int(code or 0) for code in codes.replace(":", ";").split(";")]
    while codes:
        code = codes.pop(0)
        if code == 0:
            style.update(fg=None, bg=None, reverse=False)
        elif code == 7:
            style["reverse"] = True
        elif code == 27:
            style["reverse"] = False
        elif code in (38, 48):
            kind = codes.pop(0)
            colour = indexed(codes.pop(0)) if kind == 5 else tuple(codes.pop(0) for _ in range(3))
            style["fg" if code == 38 else "bg"] = colour
        elif code in (39, 49):
            style["fg" if code == 39 else "bg"] = None
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style["fg"] = BASIC[code - 30 if code < 90 else code - 82]
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style["bg"] = BASIC[code - 40 if code < 100 else code - 92]


def main():
    out, width, height, caret_x, caret_y = sys.argv[1], *map(int, sys.argv[2:6])
    font = ImageFont.truetype(os.environ["TRIAL_FONT"], 15)
    cell_width, cell_height = round(font.getlength("M")), 19
    image = Image.new("RGB", (width * cell_width, height * cell_height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    style = {"fg": None, "bg": None, "reverse": False}
    for row, line in enumerate(sys.stdin.read().split("\n")[:height]):
        column = 0
        for part in re.split(r"(\x1b\[[0-9;:]*m)", line):
            if part.startswith("\x1b["):
                apply(style, part[2:-1])
                continue
            for character in part:
                cells = 2 if unicodedata.east_asian_width(character) in "WF" else 1
                foreground, background = style["fg"] or FOREGROUND, style["bg"] or BACKGROUND
                if style["reverse"] != ((column, row) == (caret_x, caret_y)):
                    foreground, background = background, foreground
                left, top = column * cell_width, row * cell_height
                draw.rectangle((left, top, left + cells * cell_width - 1, top + cell_height - 1), background)
                draw.text((left, top), character, foreground, font)
                column += cells
        if row == caret_y and column <= caret_x:
            left, top = caret_x * cell_width, row * cell_height
            draw.rectangle((left, top, left + cell_width - 1, top + cell_height - 1), FOREGROUND)
    image.save(out)


main()
