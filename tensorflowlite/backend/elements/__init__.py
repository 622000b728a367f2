"""Element programs: chains of elementwise slots as values, for executors to compile or to run."""
