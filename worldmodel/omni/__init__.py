"""Every modality to tokens and back, and the one transformer over their stream."""
