"""What can go wrong with data: the files aren't to be had, or an option of `load` doesn't fit."""


class DataNotFoundError(FileNotFoundError):
    """The files of a dataset are neither on this computer nor to be had. Says where it looked and how to get them."""


class OptionError(ValueError):
    """An option of `tinyar.data.load` that doesn't fit the data, or another option.

    template   the message, with the options in braces: "{color}: mnist is grey already"
    options    the values of these, {"color": False}

    As a text, each is written as in Python: "color=False: mnist is grey already". A command line, whose options have
    names of their own, asks for `worded`.
    """

    def __init__(self, template, **options):
        super().__init__(template)
        self.template, self.options = template, options

    def __str__(self):
        return self.worded({})

    def worded(self, names):
        """The message with other names for some options: {"color": "--grey"} gives "--grey: mnist is grey already"."""
        given = {option: names.get(option, f"{option}={value!r}") for option, value in self.options.items()}
        return self.template.format(**given)
