"""What a search of networks stands on: spaces of specs, and what their members cost."""
