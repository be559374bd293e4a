"""Which code an upgrade swaps, and which lives as long as its process."""

from reload import Boundaries

BOUNDARIES = Boundaries(
    roots=("cloudd", "reload", "storage"),
    kernel=(
        "reload",
        "cloudd.cli",
        "cloudd.control",
        "cloudd.daemon",
        "cloudd.database",
        "cloudd.interfaces",
        "cloudd.protocols.control",
        "cloudd.protocols.http",
    ),
)
