"""Where tracked frames go: files on disk here, subscribers in `edge_node.hub`."""
