"""Text of answers brought to one form: full-width and typographic signs, LaTeX dressing, plain words."""

from __future__ import annotations

import re

_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8", "⅜": "3/8"}

# One table, applied in one linear pass. NFKC is not used: it would turn 5² into 52.
_SIGNS = str.maketrans(
    {
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width ASCII
        **{sign: f"^{{{digit}}}" for digit, sign in enumerate(_SUPERSCRIPTS)},
        **{sign: f" {fraction}" for sign, fraction in _VULGAR.items()},
        **dict.fromkeys("\u00a0\u2009\u200a\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        **dict.fromkeys("−–﹣", "-"),
        "⁄": "/",
        "÷": "/",
        "×": "\\times ",
        "·": "\\cdot ",
        "π": "\\pi ",
        "∞": "\\infty ",
        "°": "^\\circ",
        "﹪": "%",
        "．": ".",
    }
)

_SPACING = re.compile(r"\\[,;: ]|\\q?quad\b|~")
_TIGHT = re.compile(r"\\!(?:\s+(?=\d))?")  # LaTeX prints no space after it: "11,\! 100" is 11,100
_SIZING = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg)(?![A-Za-z])")
_STYLES = re.compile(r"\\(?:displaystyle|textstyle|limits|nolimits)(?![A-Za-z])")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)")
_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname|mbox)\s*\{([^{}]*)\}")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degrees?\b")
_DELIMITERS = re.compile(r"\\[()\[\]]|\$")
_MARKDOWN = re.compile(r"\*\*|__|`")
_CHOICE = re.compile(r"\(([A-Za-z])\)\Z")


def plain_signs(text: str) -> str:
    """The text with full-width and typographic signs as their ASCII or LaTeX equals; linear time."""
    return text.translate(_SIGNS)


def undress(answer: str) -> str:
    """An answer without what changes its look alone: math delimiters, spacing, sizes, degrees, styles.

    Words in ``\\text{…}`` and its kin stand bare, so that units and names can be read.
    """
    text = plain_signs(answer)
    for dressed, bare in (("{,}", ","), ("\\%", "%"), ("\\$", ""), ("\\#", "#")):
        text = text.replace(dressed, bare)
    text = _TIGHT.sub("", text)
    text = _SPACING.sub(" ", text)
    text = _SIZING.sub("", text)
    text = _STYLES.sub("", text)
    text = _FRACTION.sub(r"\\frac", text)
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _WORDS.sub(r" \1 ", text)
    text = _DEGREES.sub("", text)
    text = _DELIMITERS.sub(" ", text)
    text = _MARKDOWN.sub("", text)
    text = " ".join(text.split())
    return text.rstrip(" .。,，;；:：\\").lstrip(" ,，;；:：")


def comparable(answer: str) -> str:
    """The form in which equal texts are equal strings: undressed, without spaces, words in lower case."""
    text = undress(answer)
    choice = _CHOICE.match(text)
    if choice:
        return choice.group(1).lower()
    squeezed = text.replace(" ", "")
    return squeezed.lower() if squeezed.isalpha() else squeezed
