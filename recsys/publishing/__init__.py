"""What must hold of lists before they are published."""
