"""One module for each thing worth showing. Nothing imports a demo."""
