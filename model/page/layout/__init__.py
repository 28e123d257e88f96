"""What people see and press: the tabs of the page, and what makes them draw. Beside app.py, all that knows Gradio."""
