"""What changes weights, and what is fitted on the validation split."""
