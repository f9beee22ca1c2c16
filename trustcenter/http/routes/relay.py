"""What goes sealed to sites: study secrets (members' cards, shares, confirmations), and results."""

from __future__ import annotations

from trustcenter.http.calls import OPERATOR, SITE, Answer, Call, Lines, Route
from trustcenter.messages.api import secret_relay as api
from trustcenter.registrar.study import sealed_results, secret_cards, secret_relay


async def card_set(call: Call) -> Answer:
    return await secret_cards.set_card(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def card_list(call: Call) -> Answer:
    return await secret_cards.member_cards(call.instance.registrar, call.principal, call.segment("study"))


async def share_set(call: Call) -> Answer:
    return await secret_relay.put_share(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def share_list(call: Call) -> Answer:
    return await secret_relay.own_shares(call.instance.registrar, call.principal, call.segment("study"))


async def confirmation_set(call: Call) -> Answer:
    await secret_relay.confirm(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )
    return None


async def state(call: Call) -> Answer:
    return await secret_relay.state(call.instance.registrar, call.principal, call.segment("study"))


async def results(call: Call) -> Answer:
    return Lines(
        sealed_results.sealed(call.instance.registrar, call.principal, call.request_id, call.segment("study")), raw=True
    )


_STUDY = "/v1/studies/{study}"
# fmt: off
ROUTES = (
    Route(
        "PUT", _STUDY + "/card", "setCard", SITE, "Publish the own card in a study", card_set,
        api.CardSet, api.MemberCard,
    ),
    Route(
        "GET", _STUDY + "/cards", "memberCards", OPERATOR | SITE, "The cards of a study's members", card_list,
        None, api.MemberCards,
    ),
    Route(
        "PUT", _STUDY + "/secret-share", "shareSecret", SITE, "Hand in the study secret, sealed to members and signed",
        share_set, api.SecretShare, api.ShareState,
    ),
    Route(
        "GET", _STUDY + "/secret-shares", "ownSecretShares", SITE, "Shares of the study secret sealed to the caller",
        share_list, None, api.OwnShares,
    ),
    Route(
        "PUT", _STUDY + "/secret-confirmation", "confirmSecret", SITE, "Prove to other members that one holds the secret",
        confirmation_set, api.Confirmation, status=204,
    ),
    Route(
        "GET", _STUDY + "/secret-state", "secretState", OPERATOR | SITE, "Who shared the study secret, and who holds it",
        state, None, api.SecretState,
    ),
    Route(
        "GET", _STUDY + "/results/sealed", "ownResultsSealed", SITE, "Own results, sealed to the site's registered key",
        results, None, "bytes",
    ),
)
# fmt: on
