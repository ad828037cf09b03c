"""Tables of predictions, as figures read them."""
