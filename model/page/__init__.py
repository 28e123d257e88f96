"""What the page draws with and what guards it; nothing here knows Gradio."""
