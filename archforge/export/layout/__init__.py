"""A network as nested boxes with places: what `archforge draw` and `archforge report` show.

`nested` makes boxes of a graph, `grid` gives those of one box their rows and lanes and leads the edges
between them, `placing` turns rows and lanes into coordinates. All three are functions: the same network gives
the same picture.
"""
