"""Steerscope's core: find SAE latents behind a behaviour, steer with them, keep the vector. No streamlit here."""

__version__ = "0.1.0"
