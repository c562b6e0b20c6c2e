"""One file per protocol family, and the catalogue of datasets; `rendered/` holds the renderer."""
