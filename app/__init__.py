"""What people use without training: trained models behind a few plain calls."""
