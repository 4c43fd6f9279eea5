"""A pod's side of distributed training, without NumPy or TensorFlow: supervisors start the ranks and, through
one coordinator, decide together which of them form the next generation."""
