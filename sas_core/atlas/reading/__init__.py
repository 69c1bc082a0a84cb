"""Do the contexts of a latent mean one thing to a second reader? Detection scored without a network."""
