"""Whether a record is true, asked by anybody: of its files, of its network, by another attack."""
