"""EASE: a linear model whose weights between items have a closed form."""
