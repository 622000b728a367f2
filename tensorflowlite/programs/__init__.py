"""Programs in files: recorded functions with their arrays, run without their code."""
