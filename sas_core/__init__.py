"""Steerscope's core: find SAE latents behind a behaviour, steer with them, keep the vector. No streamlit."""

__version__ = "0.1.0"
