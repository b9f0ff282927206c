"""What weights that are given away say of themselves: their figures, and how they were made.

    command, minutes, machine, date    how they were trained
    data                               the name of the data
    figures                            [{"of", "unit", "images", "value"}]: means over all test images, and for the
                                       tests over a few of them, spread evenly; "of" says what the model was told
    drawn                              checksums of ten images, by which the tests see whether the weights still draw
                                       the same; empty where nothing is drawn

Another processor rounds other sums. So it may draw another level where a random number falls between two roundings.
"""

KINDS = {"command": str, "minutes": (int, float), "machine": str, "date": str, "data": str, "figures": list,
         "drawn": list}
KINDS_OF_A_FIGURE = {"of": str, "unit": str, "images": int, "value": (int, float)}


def checked_statement(file, about):
    """The statement in a checkpoint's `about`, None if there is none.

    Raises ValueError where it isn't what ship.py writes.
    """
    statement = about.get("trained")
    if statement is None:
        return None
    check_kinds(file, "trained", statement, KINDS)
    for figure in statement["figures"]:
        check_kinds(file, "figures", figure, KINDS_OF_A_FIGURE)
    return statement


def check_kinds(file, title, value, kinds):
    """Raise ValueError unless value is a dict with these keys, whose values are of these kinds."""
    if not isinstance(value, dict) or not all(isinstance(value.get(key), kind) for key, kind in kinds.items()):
        raise ValueError(f"{file}: {title}: expected a dict of {', '.join(kinds)}, got {value!r:.100}")


def print_statements(statements):
    """Print the figures of each, and once how all were trained; nothing for those that are None."""
    statements = [statement for statement in statements if statement]
    for statement in statements:
        for figure in over_all_images(statement["figures"]):
            print(f"stated: {words_of(figure, statement['data'])}")
    for how in dict.fromkeys(map(words_of_training, statements)):
        print(how)


def words_of_training(statement):
    """How long, where and by which command: two lines."""
    return (f"        after {statement['minutes']:g} min on {statement['machine']}, {statement['date']}:\n"
            f"        {statement['command']}")


def over_all_images(figures):
    """The figures over the most images."""
    most = max((figure["images"] for figure in figures), default=0)
    return [figure for figure in figures if figure["images"] == most]


def words_of(figure, data):
    """0.0985 bits/dim on the 10,000 test images of mnist, told the class."""
    return (f"{figure['value']:.4f} {figure['unit']} on the {figure['images']:,} test images of {data}"
            + f", {figure['of']}" * bool(figure["of"]))
