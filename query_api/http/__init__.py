"""What the features share: parameters, content types, caching, formats, problems."""
