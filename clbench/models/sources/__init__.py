"""Where networks come from, one file a source."""
