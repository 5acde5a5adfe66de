"""The compiled part of nearlin: private, no promise is made about it."""

__all__ = ["__version__", "usable_cpus"]

__version__: str

def usable_cpus() -> int: ...
