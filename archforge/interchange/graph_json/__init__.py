"""graph.json, written and read: the network of one profile for programs in any language.

`form` has the keys, which `writer` and `reader` share; `document` is the first half of reading, from bytes to
that form. docs/graph_json.md describes the file.
"""

from archforge.interchange.graph_json.form import VERSION, StoredNetwork
from archforge.interchange.graph_json.reader import read_graph_json
from archforge.interchange.graph_json.writer import graph_json_text, stored

__all__ = ["VERSION", "StoredNetwork", "graph_json_text", "read_graph_json", "stored"]
