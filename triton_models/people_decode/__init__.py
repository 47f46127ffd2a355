"""The model people_decode."""
