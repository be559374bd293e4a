"""
What twistd starts: the anchor, which starts a loader, which forks the workers.

- ``service`` makes the service of ``twistd cloudd``; ``settings`` reads its settings.
- The anchor (``_anchor``) has the PID, the listening sockets and the control socket, and stays small.
- The loader (``_loader``) imports the staged copy of the tree once and forks workers on command.
- A worker (``_worker``) answers requests with the current generation of code, and swaps generations.

The anchor and each worker talk over a link (``_link``); the anchor and the loader over a channel that carries
descriptors (``_channel``).  Everything here is kernel: it never imports what an upgrade swaps.
"""
