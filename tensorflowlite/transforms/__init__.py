"""What is done with whole functions: gradients, checks of gradients, custom functions."""
