"""Re-identification data."""
