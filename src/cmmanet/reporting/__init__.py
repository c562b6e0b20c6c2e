"""The published numbers as data, and the report beside them."""
