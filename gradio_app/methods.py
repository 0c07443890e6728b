"""Ways of finding directions, in words for people who know none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradio_app.links import exactly
from resefa_core import METHODS

PLAINLY = {
    "resefa": "Asks which changes move the region most and the rest least, for every layer of the generator "
    "by itself.",
    "paper": "The same question for all layers together, as in the paper: quicker, and less local.",
    "published": "What the paper's own program does with pictures of up to 256 pixels.",
    "published-large": "What the paper's own program does with larger pictures: it looks at every n-th "
    "pixel, and adds up the colours.",
    "sefa": "Reads directions off the generator's weights, without a look at any picture. They change "
    "all of it; those that stay nearest to the region are shown.",
    "ganspace": "The ways in which the codes of random pictures differ most. They change the whole picture; "
    "those that stay nearest to the region are shown.",
    "lowrankgan": "The strongest changes of the region, without what the rest of the picture would notice.",
    "stylespace": "Single numbers inside the generator, tried one by one; those that change the region more "
    "than the rest are shown.",
}


def about_method(key: str) -> dict[str, Any]:
    """What a method is and whose, for the page."""
    method = METHODS[key]
    return {"rows": [["What it does", PLAINLY.get(key, method.summary)], ["From", method.citation]]}


def fields_of(key: str, parameters: Mapping[str, float]) -> dict[str, Any]:
    """What a method takes, for the page: a field for each, empty where it is as usual."""
    rows = [
        {
            "name": each.name,
            "help": each.help,
            "low": f"{each.minimum:.7g}",
            "high": f"{each.maximum:.7g}",
            "usual": f"{each.default:.7g}",
            "value": exactly(parameters[each.name]) if each.name in parameters else "",
        }
        for each in METHODS[key].parameters
    ]
    return {"method": key, "rows": rows}


def unusual(key: str, given: Mapping[str, object]) -> dict[str, float]:
    """Of a method's parameters those that are not as the method has them by itself.

    Raises:
        ParameterError: a name that it doesn't have, or a value out of range.

    Example:
        >>> unusual("resefa", {"colour": 1, "edge": 0})
        {'colour': 1.0}
    """
    method = METHODS[key]
    usual = method.check_parameters(None)
    return {name: value for name, value in method.check_parameters(given).items() if value != usual[name]}
