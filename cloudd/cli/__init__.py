"""
``cloudctl``: the operator's command line, over the control socket of one running daemon.

    cloudctl status
    cloudctl upgrade --check
    cloudctl --state /var/lib/cloudd --json health
"""

from ._commands import main
from ._context import Exit

__all__ = ["Exit", "main"]
