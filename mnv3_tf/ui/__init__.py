"""What a user sees: flags, tables, pages, figures, drawings and progress."""
