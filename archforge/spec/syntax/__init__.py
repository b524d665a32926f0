"""Syntax of the language: a tree becomes a document of blocks and steps.

`syntax_tree` is the result; `parse_document` makes it, and `parse_steps` the steps in it. `inner_steps` finds
those inside others. `form_checks` and `reserved_names` refuse what has another form.
"""
