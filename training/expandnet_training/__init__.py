"""Training and evaluation of ExpandNet's weights; runs from the repository, apart from the product."""
