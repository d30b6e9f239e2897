"""Settings of `publish`."""

from __future__ import annotations

from pydantic import Field

from recsys.settings import PositiveInt, Section, Share


class PublishSettings(Section):
    """`publish`: gates that must hold before the slice is replaced."""

    min_users_share: Share = Field(0.9, description="Share of the users with candidates that must have a list")
    min_list_length: PositiveInt = Field(1, description="Shorter lists stop the job")
    optimize: bool = Field(True, description="OPTIMIZE the slice after the commit")
