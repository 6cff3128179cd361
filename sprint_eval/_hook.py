"""Placeholder of the start-up hook."""


def install() -> None:
    """Arm the hook."""
