"""What every room builds on: errors, files, paths, parallel work, how a stage starts."""
