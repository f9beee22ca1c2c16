"""Calls about what goes sealed to sites: study secrets and results."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from trustcenter.client.answers import decoded, quoted
from trustcenter.client.calls import Calls
from trustcenter.messages.api import secret_relay as m


class SecretOperations(Calls):
    """Cards of members, shares of the study secret, confirmations; sealed results."""

    async def set_card(self, study: str, card: str) -> m.MemberCard:
        """Publish the own card."""
        return await self._put(f"/v1/studies/{quoted(study)}/card", m.CardSet(card=card), m.MemberCard)

    async def member_cards(self, study: str) -> m.MemberCards:
        """The cards of a study's members, as the centre says."""
        return await self._get(f"/v1/studies/{quoted(study)}/cards", m.MemberCards)

    async def share_secret(self, study: str, share: m.SecretShare) -> m.ShareState:
        """Hand in a share. Never repeated by itself: the same again is a replay."""
        answer = await self._http.call(
            "PUT",
            f"/v1/studies/{quoted(study)}/secret-share",
            body=msgspec.json.encode(share),
            repeatable=False,
        )
        return decoded(answer, m.ShareState)

    async def own_secret_shares(self, study: str) -> m.OwnShares:
        """Shares that are sealed to the caller, as the centre says."""
        return await self._get(f"/v1/studies/{quoted(study)}/secret-shares", m.OwnShares)

    async def confirm_secret(self, study: str, confirmation: m.Confirmation) -> None:
        """Prove that the caller holds the secret."""
        path = f"/v1/studies/{quoted(study)}/secret-confirmation"
        await self._http.call("PUT", path, body=msgspec.json.encode(confirmation), repeatable=True)

    async def secret_state(self, study: str) -> m.SecretState:
        """Shares and confirmations, as the centre says."""
        return await self._get(f"/v1/studies/{quoted(study)}/secret-state", m.SecretState)

    def sealed_results(self, study: str) -> AsyncIterator[bytes]:
        """The caller's results, sealed to its registered key, streamed."""
        return self._stream(f"/v1/studies/{quoted(study)}/results/sealed")
