"""Content: items that the catalog says are alike, so that even what nobody touched can be proposed."""
