"""Stage 1: from a folder of films or a list of addresses to the table `videos` and its media."""
