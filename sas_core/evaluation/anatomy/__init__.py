"""What a vector is made of: sparsity, overlap with others, share of a dense direction; nothing is steered."""
