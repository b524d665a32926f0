"""Language server: what an editor shows about a spec while it is written, by the Language Server Protocol."""
