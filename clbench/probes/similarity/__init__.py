"""How alike representations are."""
