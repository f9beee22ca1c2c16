"""`trustcenter study`: set up by an operator, the sites' part, the runs, clearing, and what comes back."""
