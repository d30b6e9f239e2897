"""From scored candidates to lists: blend, diversity, rules, reasons."""
