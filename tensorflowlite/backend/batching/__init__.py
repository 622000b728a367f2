"""Arrays with a batch inside, for `vmap`: their slots run on the whole batch."""
