"""Networks measured and compared, and data sets examined."""
