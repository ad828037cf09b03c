"""Networks, their saved form, and the engines that run them."""
