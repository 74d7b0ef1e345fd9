"""What ``clbench doctor`` runs."""
