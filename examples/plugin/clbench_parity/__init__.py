"""A model, an attack, a similarity measure and a data set of one's own for clbench."""
