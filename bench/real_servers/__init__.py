"""
Real servers, end to end: what a tenant does on a fresh cloud with guests of QEMU.

    python -m bench.real_servers [--by cli | sdk] [--every 0] [--patience 240]

The tenant uses the ``openstack`` command line, or with ``--by sdk`` openstacksdk alone; the steps are the same
(``_steps``).  Starts its own libvirtd and its own cloudd, root is needed.  Each step waits for what its user would see:
a state, a line that the guest writes on its console (what it got by DHCP and metadata, the key, what its user data
printed), an echo that comes or does not.  Interfaces, routes, tables, processes and files of guests are counted before
and after, and what the APIs list.  ``--every`` seconds, if not 0, ``cloudctl upgrade --canary 0`` loads changed code
meanwhile.

Prints one JSON object: seconds of each step, what went wrong, what was left.  Exits with 1 when something did.

``tenant`` is a process of its own: it runs with the Python of the clients, which has openstacksdk and nothing of ours,
so ``_client``, ``_command_line``, ``_sdk``, ``_echo``, ``_walk`` and ``_steps`` import the standard library alone.
"""
