"""Ground floor, for every package: errors, whole files, safe reading, ranks, processes."""
