"""Networks: one file each; what trains them; trained ones in and out of files."""
