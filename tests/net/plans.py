"""Plans that the tests of the data plane begin with."""

from net import EGRESS, INGRESS, FixedIP, Group, Plan, Port, Rule

GROUP = Group(
    id="web",
    rules=(Rule(direction=EGRESS), Rule(direction=INGRESS, protocol="icmp"), Rule(direction=INGRESS, protocol="udp")),
)


def port_of(number: int, group_ids: tuple[str, ...] = ("web",), port_security: bool = True) -> Port:
    """The port that has 10.0.0.``number`` and fa:16:3e:00:00:``number``.  Its tap has the number in 8 digits."""
    return Port(
        id=f"{number:08x}-0000-4000-8000-000000000000",
        mac=f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}",
        fixed_ips=(FixedIP(address=f"10.0.{number >> 8}.{number & 255}", prefix_length=16, gateway="10.0.255.254"),),
        group_ids=group_ids if port_security else (),
        port_security=port_security,
    )


def plan_of(*numbers: int, group: Group = GROUP) -> Plan:
    return Plan(ports=tuple(map(port_of, numbers)), groups=(group,))
