"""What the kernel and every generation of code share: settings, the application contract.  Never swapped."""
