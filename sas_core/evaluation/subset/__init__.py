"""The fewest latents of a vector that keep its effect, and whether they help or hinder each other."""
