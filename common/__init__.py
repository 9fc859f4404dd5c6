"""What every floor may use: errors, whole files, safe reading, ranks, processes."""
