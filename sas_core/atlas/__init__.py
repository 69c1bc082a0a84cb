"""What a latent means: what it writes (logit lens) and what it reads (tokens that make it fire)."""
