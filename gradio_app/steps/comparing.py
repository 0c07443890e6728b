"""Ways of finding directions, side by side on the same part of the same picture."""

from __future__ import annotations

from typing import Any

import resefa_core as resefa
from gradio_app import jobs, payloads
from gradio_app.steps.finding import Finding, times
from gradio_app.turns import Rank
from gradio_app.updates import Updates, progress, said, told
from gradio_app.visit import Visit
from resefa_core.directions import about
from resefa_core.progress import Progress
from resefa_core.session.finding import OURS
from resefa_core.session.strips import Strip


class Comparing(Finding):
    """Steps that compare methods."""

    @told
    def compare(self, visit: Visit) -> Updates:
        """The first direction of each method, on the whole picture, and where it changes it."""
        session, name = visit.needed, visit.name
        region, original = session.selected, session.original
        visit.comparing += 1
        mine = visit.comparing
        aside = resefa.Session(
            lambda: self.studio.generator(name), latent=original[:1], cache=self.studio.analyses
        )

        def wanted() -> bool:
            return visit.comparing == mine and visit.session is session and session.original is original

        rows: list[dict[str, Any]] = []
        for key in self.studio.methods(session.generator):

            def find(report: Progress, key: str = key) -> resefa.Directions:
                asked = visit.parameters.get(key)
                return aside.find(
                    region,
                    method=key,
                    parameters=asked,
                    only_good=key == OURS,
                    progress=self.studio.giving_way(report, bounded=bool(asked)),
                )

            title = about.method_title(key)
            try:
                going = jobs.run_in_turn(self.studio.lines.methods, visit.address, find, wanted)
                found = yield from progress(going, f"Trying {title}", "compared_status")
                (strip,) = self.studio.in_turns(aside.strips(found[:1], most=1), Rank.FACES)
                if not wanted():
                    raise jobs.Stopped
            except resefa.RegionError as error:
                rows.append({"title": title, "words": str(error)})
            except jobs.Stopped:
                if visit.comparing == mine:
                    yield {"compared_status": said("Stopped, as there is another picture now.")}
                return
            except resefa.ReSeFaError:
                yield {"compared_status": said("")}
                raise
            else:
                rows.append({"title": title, **_shown(strip)})
            yield {"compared": {"rows": rows[:]}}
        yield {"compared_status": said(f"{len(rows)} methods on the same part of the same picture.")}

    @told
    def stop_comparing(self, visit: Visit) -> Updates:
        """Stop the comparison."""
        visit.comparing += 1
        yield {"compared_status": said("Stopped.")}


def _shown(strip: Strip) -> dict[str, Any]:
    """What a direction does to the picture, and where."""
    before, ends = strip.images[len(strip.images) // 2], (strip.images[0], strip.images[-1])
    return {
        "words": strip.effect.words,
        "ratio": f"{times(strip.effect.ratio)} as much inside as outside",
        "images": [payloads.data_url(resefa.to_pil(image)) for image in (ends[0], before, ends[1])],
        "change": payloads.data_url(payloads.change_map(before, ends[1])),
    }
