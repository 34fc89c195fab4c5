"""Where the loss turns on or off inside a text."""
