"""The parts that `TrustCenter` is made of: one class a subject, one method an operation."""
