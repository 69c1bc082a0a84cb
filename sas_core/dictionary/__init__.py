"""Training and measuring a dictionary (SAE) for a model: text -> activations -> BatchTopK -> JumpReLU files."""
