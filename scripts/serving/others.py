"""Third-party clients: Triton's, schemathesis, and a browser."""
import os
import pathlib
import subprocess

from .program import PROJECT, Failed, Service

HERE = pathlib.Path(__file__).resolve().parent
# A schema cannot say which bytes are an image, nor how many values a network takes.
SCHEMATHESIS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 413, 415, 422]
"""


def call(command, folder, what, **environment):
    """Runs a third-party program; returns what it prints."""
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failed(f"there is no {command[0]}: {what}") from None
    if done.returncode != 0:
        raise Failed(f"{done.stdout[-6000:]}{done.stderr[-3000:]}")
    return done.stdout


def triton(program, folder, options):
    """tritonclient gets the logits that `predict` makes its probabilities of."""
    with Service(program, "demo", *options.words) as service:
        seen = call([options.python, HERE / "triton.py", program, service.port, PROJECT / "docs/photos"], folder,
                    "--python names an interpreter with tritonclient[http], numpy and pillow")
        service.end()
    return seen.strip()


def schema(program, folder, options):
    """schemathesis finds nothing against /openapi.json."""
    (folder / "schemathesis.toml").write_text(SCHEMATHESIS)
    with Service(program, "demo", *options.words) as service:
        command = [options.python, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{service.port}/openapi.json",
                   "--max-examples", options.examples, "--seed", "1"]
        seen = call(command, folder, "--python names an interpreter with schemathesis")
        if service.errors:
            raise Failed(f"answers of 5xx: {service.errors[0]}")
        service.end()
    return next(line.strip() for line in seen.splitlines() if " generated" in line)


def page(program, folder, options):
    """The page in a headless Chromium."""
    shots = options.screenshots or folder
    command = ["node", HERE / "page.js", program, PROJECT, shots]
    return call(command, pathlib.Path.cwd(), "Node.js 20 is needed").strip()


CASES = {"triton": triton, "schema": schema, "page": page}
