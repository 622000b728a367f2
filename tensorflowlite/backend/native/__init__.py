"""The native extension, and the slots of the CPU that it implements, a file per family."""
