"""What differs between two finished datasets. It knows nothing of terminals."""
