"""Taking a vector away and bringing it back: the JSON file, the shelf, the plain-transformers program."""
