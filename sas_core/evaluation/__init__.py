"""Does a vector move what it should, beyond chance, and at what price: measured on held-out pairs."""
