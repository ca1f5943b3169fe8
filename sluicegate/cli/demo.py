"""demo"""
from sluicegate.cli.console import AsJson
EPILOG=""
def demo(as_json: AsJson = False) -> None:
    """x."""
