"""Label files of others: MATLAB's, pickles, tables."""
