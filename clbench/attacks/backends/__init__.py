"""Who runs an attack, one file a package."""
