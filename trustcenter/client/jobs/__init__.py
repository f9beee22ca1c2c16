"""Jobs over whole files: streamed, resumed after an interruption, never left half."""
