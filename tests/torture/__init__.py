"""What goes wrong in the world, done to pandacat on purpose, often, and counted."""
