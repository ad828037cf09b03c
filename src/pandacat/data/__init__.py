"""From an archive of photos to splits, crops and features on disk."""
