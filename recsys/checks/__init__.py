"""Whether the newest day of the tables looks as the days before it did."""
