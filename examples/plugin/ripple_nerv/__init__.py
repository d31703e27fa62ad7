"""Parts of most kinds for enerv-zoo, known by their entry points."""
