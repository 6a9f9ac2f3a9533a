"""From a dataset's measures to its report's card (a messages.Drawer)."""

from __future__ import annotations

import logging

from bot.cards.report import report_card
from bot.errors import MeasureError, NotFound
from bot.services.dataset.quality import Quality
from bot.services.posting.messages import Drawing

log = logging.getLogger(__name__)


class ReportDrawer:
    """Draws the report as the database has it now."""

    def __init__(self, quality: Quality) -> None:
        self._quality = quality

    async def draw(self, ref: str) -> Drawing | None:
        """The report; None when the dataset is gone."""
        try:
            report = await self._quality.look(int(ref))
            sheet = await self._quality.sheet(report) if report.pictures else None
        except NotFound:
            return None
        except MeasureError as error:
            log.warning("a report goes without its contact sheet: %s", error)
            sheet = None
        return report_card(report, sheet)
