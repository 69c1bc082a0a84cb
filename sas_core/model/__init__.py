"""What is loaded: presets, the demo's weights, the transformer, its SAE, the device, the chat template."""
