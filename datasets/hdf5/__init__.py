"""HDF5 files of waveforms, log-mels and images: written, split into shards, repaired."""
