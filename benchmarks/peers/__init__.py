"""fastmlp beside other libraries: ``python -m benchmarks.peers`` in the top folder of a checkout; see README.md."""
