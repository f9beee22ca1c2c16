"""`trustcenter keys`: key versions, their rotation, and what to do when one leaks."""
