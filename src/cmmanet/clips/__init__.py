"""Training clips and test frames: which frames, which identities, as uint8 batches."""
