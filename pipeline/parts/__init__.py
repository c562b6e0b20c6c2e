"""What the stages are made of: how they run, where things lie, what one hands to the next."""
