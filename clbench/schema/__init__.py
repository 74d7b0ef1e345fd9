"""What files mean; nothing here loads torch."""
