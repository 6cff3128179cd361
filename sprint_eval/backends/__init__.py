"""Who decodes: one interface over the built-in engine, plain generation, and serving engines."""

from sprint_eval.backends.base import SERVED_ENGINES, Backend, check_engine_name, local_backend

__all__ = ["SERVED_ENGINES", "Backend", "check_engine_name", "local_backend"]
