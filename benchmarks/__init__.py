"""Speed, run by hand: ``python -m benchmarks.<name>`` prints one table, ``--help`` says of what."""
