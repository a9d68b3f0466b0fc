"""Where records come from. A new source is one file with the shape of interfaces.Source."""
