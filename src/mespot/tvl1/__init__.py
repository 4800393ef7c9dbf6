"""TV-L1: `plain` says in PyTorch what it means; `cpu` and `cuda` are fast ways to the same."""
