"""Stories: what a training step computed, and why each gradient is what it is."""
