"""Stage 3: measurements become a decision for every clip and criterion. Nothing is deleted, no picture is decoded."""
