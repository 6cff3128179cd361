"""Text from files and models inside our Markdown."""

from __future__ import annotations

import re


def escape_markdown(text: str) -> str:
    """Text on one line that Markdown and the HTML inside it leave alone."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", text)
