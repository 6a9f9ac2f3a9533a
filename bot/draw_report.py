"""From a dataset's measures to its report's card (a messages.Drawer)."""

from __future__ import annotations

import logging

from bot.cards.report import report_card
from bot.errors import MeasureError, NotFound
from bot.services.crops import Crops
from bot.services.messages import Drawing
from bot.services.quality import Quality

log = logging.getLogger(__name__)


class ReportDrawer:
    """Draws the report as the database has it now."""

    def __init__(self, quality: Quality, crops: Crops) -> None:
        self._quality = quality
        self._crops = crops

    async def draw(self, ref: str) -> Drawing | None:
        """The report; None when the dataset is gone."""
        try:
            report = await self._quality.look(int(ref))
            boxes = await self._crops.boxes(report.dataset.id) if report.dataset.square else {}
            sheet = await self._quality.sheet(report, boxes) if report.pictures else None
        except NotFound:
            return None
        except MeasureError as error:
            log.warning("a report goes without its contact sheet: %s", error)
            sheet = None
        return report_card(report, sheet)
