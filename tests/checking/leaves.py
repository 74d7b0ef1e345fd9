"""Every place in a JSON value, to put something else there."""


def leaves(value, place=()):
    """Yield the place of everything in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inside:
        yield (*place, key)
        if isinstance(one, dict | list):
            yield from leaves(one, (*place, key))


def put(content, place, value):
    """Put a value in a place."""
    *way, last = place
    for key in way:
        content = content[key]
    content[last] = value
