"""The stages of studies/, which `dvc repro` leaves out."""
