"""Rules that end a run early, one file each."""
