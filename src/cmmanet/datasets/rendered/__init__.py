"""The renderer of the synthetic dataset: pedestrians in front of surveillance cameras."""
