"""Routes and nothing else."""

import re


class Flask:
    def __init__(self, name):
        self.name = name
        self.routes = []

    def route(self, pattern):
        expression = re.compile(re.sub("<([a-z]+)>", r"(?P<\1>[^/]+)", pattern) + "$")

        def register(function):
            self.routes.append((expression, function))
            return function

        return register

    def answer(self, path):
        for expression, function in self.routes:
            if found := expression.match(path):
                return function(**found.groupdict()).strip()
        return "404"
