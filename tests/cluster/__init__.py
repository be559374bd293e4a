"""Several hosts on one machine, faults between them, and a judge of what clients were told."""
