"""
A cloud in long-lived Twisted daemons whose code is replaced while they run.

This package file stays empty of code: it is loaded once plainly (for the kernel) and once per generation
(for everything that an upgrade may swap), see ``docs/architecture.md``.
"""

__version__ = "0.1.0"
