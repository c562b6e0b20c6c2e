"""Training one arm: its runs, what is shown of them, and where they are kept."""
