"""Others who do the task or a part of it, one file each."""
