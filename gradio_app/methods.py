"""Ways of finding directions, in words for people who know none of them."""

from __future__ import annotations

from typing import Any

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
