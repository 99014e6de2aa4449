"""Stage 4: kept clips become a release: cut media, keypoints in the crop, splits, Parquet shards and a card."""
