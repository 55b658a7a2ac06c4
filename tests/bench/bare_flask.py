"""The yardstick: the least that Flask can answer, served as the broker is."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    """Answer a constant."""
    return "hello"
