"""`python -m benchmarks.peers TEXTS ENVIRONMENTS [NAME…]`."""

import sys

from benchmarks.peers import main

main(sys.argv[1:])
