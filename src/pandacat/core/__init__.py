"""What all other packages build on: errors, files, paths, parallel work, how a stage starts."""
