"""Where photos and digits come from."""
