"""The two lanes on the page: fixed places that are filled while tokens arrive. Nothing jumps."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.tokens import plain, show_html, tokens_html
from sas_core.steering.lanes import LaneResult, Request, first_difference

LANE_HEIGHT = 300


class Stage:
    """Places for status, lanes and receipt, drawn before anything is generated."""

    def __init__(self, request: Request) -> None:
        self.status = st.empty()
        columns = st.columns(len(request.lanes))
        self._texts = []
        for column, lane in zip(columns, request.lanes, strict=True):
            with column.container(border=True, height=LANE_HEIGHT, key=f"lane.{column_name(lane.name)}"):
                st.markdown(f"**{plain(lane.name)}**")
                self._texts.append(st.empty())
        self.problem = st.empty()
        self.below = st.container()

    def draw(self, lanes: Sequence[LaneResult], changes: Sequence[float] | None = None) -> None:
        """Both texts; the first token that differs is underlined, `changes` colour the steered one."""
        mark = first_difference(lanes[0].token_ids, lanes[1].token_ids) if len(lanes) > 1 else None
        for index, (place, lane) in enumerate(zip(self._texts, lanes, strict=True)):
            values = changes if index == 1 else None
            if lane.problem:
                place.empty()
                self.problem.error(lane.problem, icon=":material/error:")
            else:
                show_html(tokens_html(lane.pieces, values, scale=4.0, mark=mark, unit="nats"), place)

    def say(self, sentence: str) -> None:
        self.status.caption(sentence)


def column_name(lane_name: str) -> str:
    """A stable name for tests and styling: unsteered or steered."""
    return lane_name.partition(":")[0]
