"""From files to windows: layout, volumes, space, store, tables, splits."""
