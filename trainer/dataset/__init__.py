"""Images in HDF5 in object storage: made by `prepare`, found by `index`, in the `order` of a run, through
`reader` and `pipeline` into batches of tensors."""
