"""The Instantaneous Response Engine: from an action to the next frame in one, two or four passes."""
