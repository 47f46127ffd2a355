"""The model people_heads."""
