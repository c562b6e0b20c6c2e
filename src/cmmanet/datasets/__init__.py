"""One file a protocol family: where it comes from, how its files are named, its protocol."""
