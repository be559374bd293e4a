"""``python -P -m cloudd.tls_front``: see ``_front.main``."""

import sys

from ._front import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
