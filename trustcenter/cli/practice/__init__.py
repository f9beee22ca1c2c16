"""`trustcenter practice`: a practice in a study, from a workstation, through a site that sponsors it."""
