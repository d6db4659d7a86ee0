"""What the Gymnasium environments and the adapters for other libraries share. No torch here."""
