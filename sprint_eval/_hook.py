"""What runs at every start of Python, so that stock ``lm_eval`` knows our models and tasks.

A start-up file beside this package in site-packages (see ``build_backend/``) calls :func:`install`. It puts
one finder on ``sys.meta_path`` that waits for two modules of lm_eval; ``_harness.py`` then extends them.
Nothing is imported before that, and nothing heavy then.
"""

import sys

WATCHED = ("lm_eval.models", "lm_eval.tasks.manager")


class Finder:
    """Lets every other finder answer, then has the answer's loader tell us when it has run the module."""

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        if fullname not in WATCHED:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(fullname, path, target) if find else None
            if spec is not None:
                from sprint_eval._harness import watch

                watch(spec)
                return spec
        return None


def install():  # type: ignore[no-untyped-def]
    """Arm the hook, once; modules of lm_eval that are loaded already are extended now."""
    if not any(type(finder) is Finder for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    loaded = [sys.modules[name] for name in WATCHED if name in sys.modules]
    if loaded:
        from sprint_eval._harness import extend

        for module in loaded:
            extend(module)
