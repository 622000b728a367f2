"""Devices of CUDA, our kernels' compiler and launcher, and the slots that kernels implement."""
