"""What a careful person looks at before they trust a dataset: its index, its labels, each of its images."""
