"""Training of the zoo, from recipes."""
