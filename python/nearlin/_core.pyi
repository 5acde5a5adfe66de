"""The compiled part of nearlin: private, no promise is made about it."""

__version__: str

def usable_cpus() -> int: ...
