"""A web application, as far as a first tutorial goes."""

import pathlib
import sys

from tiny_flask import Flask

app = Flask(__name__)


@app.route("/hello/<name>")
def hello(name):
    template = pathlib.Path(__file__).parent / "templates" / "hello.html"
    return template.read_text().format(name=name)


print(app.answer(sys.argv[1]))
