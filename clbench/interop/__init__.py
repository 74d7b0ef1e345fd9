"""Makes the field's packages work together as they are installed, each imported in one file."""
