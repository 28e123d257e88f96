"""The version of the package, for it and for those who build it."""

__version__ = "0.1.0"
