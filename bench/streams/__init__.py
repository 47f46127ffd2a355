"""What suite=streams is made of: a feed of snapshots, two layouts, subscribers in processes."""
