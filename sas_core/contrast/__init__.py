"""Contrastive pairs: read and checked, the evidence each latent leaves, and the SAS vector they give."""
