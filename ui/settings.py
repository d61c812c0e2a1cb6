"""What the app remembers between visits; the command line writes to the same file."""

from fvm_core.remembered import fault, read, remember_export, remember_run, update

__all__ = ["fault", "read", "remember_export", "remember_run", "update"]
