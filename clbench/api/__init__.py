"""The public functions, one for each command; what they need is imported when they are called."""
