"""Programs of raw calls: recording them, what shortens and fuses them, and running them."""
