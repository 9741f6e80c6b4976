# SPDX-License-Identifier: GPL-2.0
"""Reads text from pictures of a console's screen. The shapes of characters are learned from the screen itself: whoever tests
prints all of them once (`ALPHABET`), in this order from the top left corner on."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
ALPHABET = "".join(chr(c) for c in range(33, 127))


class Picture:
    """A PPM picture (P6, 8 bits) as cells of a text screen."""

    def __init__(self, path, cols, rows):
        with open(path, "rb") as file:
            data = file.read()
        fields, at = [], 0
        while len(fields) < 4:                  # P6, width, height, 255
            end = at
            while not data[end:end + 1].isspace():
                end += 1
            fields.append(data[at:end])
            at = end + 1
        self.width, self.height, self.data = int(fields[1]), int(fields[2]), data[at:]
        self.cols, self.rows = cols, rows
        # VGA's characters are 9 pixels wide, and 16 high as all others.
        self.cell_width = 9 if self.width == cols * 9 else 8

    def pixel(self, x, y):
        """Red, green, blue."""
        at = (y * self.width + x) * 3
        return tuple(self.data[at:at + 3])

    def cell(self, row, col):
        """The pixels of a cell, rows of bytes."""
        left, size = col * self.cell_width * 3, self.cell_width * 3
        return tuple(self.data[start + left:start + left + size]
                     for start in range(row * 16 * self.width * 3, (row + 1) * 16 * self.width * 3, self.width * 3))

    def shape(self, row, col):
        """A cell without its colours: where it differs from its first pixel; None if it is of one colour."""
        lines = self.cell(row, col)
        back = lines[0][:3]
        shape = tuple(tuple(line[n:n + 3] != back for n in range(0, 24, 3)) for line in lines)
        return shape if any(map(any, shape)) else None

    def learn(self):
        """The characters' shapes, from a picture that shows the alphabet."""
        shapes = {}
        for n, char in enumerate(ALPHABET):
            shape = self.shape(n // self.cols, n % self.cols)
            if shape is not None:
                shapes.setdefault(shape, char)
        return shapes

    def lines(self, shapes):
        """The text, a string a row; UNKNOWN stands for a shape that nobody knows (the cursor's)."""
        text = []
        for row in range(self.rows):
            found = (self.shape(row, col) for col in range(self.cols))
            text.append("".join(" " if shape is None else shapes.get(shape, UNKNOWN) for shape in found).rstrip(" " + UNKNOWN))
        return text
