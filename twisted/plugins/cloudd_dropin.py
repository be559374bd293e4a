"""Names `twistd cloudd`; the module it names is imported when that command is used."""

from twisted.application.service import ServiceMaker

cloudd = ServiceMaker(
    "cloudd",
    "cloudd.daemon.service",
    "A cloud in long-lived processes whose code is replaced while they run",
    "cloudd",
)
