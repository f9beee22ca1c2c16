"""The room that knows records, pseudonyms, persons and decisions. It holds no token and no filter."""
