"""Every question about a GPU, answered by one command: see README.md in this folder."""
