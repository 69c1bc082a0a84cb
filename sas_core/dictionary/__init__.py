"""Training and measuring a dictionary (SAE): text -> activations -> BatchTopK -> JumpReLU files."""
