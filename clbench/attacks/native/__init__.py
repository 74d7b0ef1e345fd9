"""clbench's own attacks."""
