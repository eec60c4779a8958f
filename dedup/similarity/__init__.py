"""Pure measures of similarity: MinHash signatures, winnowed fingerprints, overlap of two texts, clusters."""
