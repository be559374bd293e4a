"""Everything that cloudd speaks on a socket, one folder a protocol."""
