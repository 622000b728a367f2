"""The operations: each one declared once, with its gradient."""
