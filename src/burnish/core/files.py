"""Read files of records: the one reader behind sources, gold, seeds, outside test sets and `burnish predict`."""
