"""The functions of `import trainer`, for notebooks and scripts; the commands are thin over them."""
