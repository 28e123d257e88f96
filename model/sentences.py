"""What another program said, as a part of a sentence of ours."""


def first_line(said: object) -> str:
    """The first line of an error, or of what a server answered; of an error that says nothing, its kind.

    The full stop is left out, as the sentence around it goes on.
    """
    return str(said).strip().partition("\n")[0].rstrip(" .\r") or type(said).__name__
