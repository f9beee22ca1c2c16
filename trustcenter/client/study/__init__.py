"""Jobs around a study: secrets, results, changes after a release, files carried between rooms."""
