"""What the networks are worth: side by side, on corrupted photos, on photos from elsewhere."""
