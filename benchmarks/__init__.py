"""Speed, run by hand: each module prints one table, ``python -m benchmarks.<name> --help``."""
