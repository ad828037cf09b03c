"""Giant panda, cat, or neither: the library behind the stages, the command line and the tests."""
