"""What the networks attend to, measured, and what the paper says of it, judged."""
