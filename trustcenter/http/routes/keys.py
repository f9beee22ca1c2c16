"""Keys: rotation, maps, acknowledgements, proposals, single steps, compromise, schedule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from trustcenter.errors import UsageError
from trustcenter.http.calls import APPROVER, OPERATOR, SITE, Answer, Call, Handler, Lines, Route
from trustcenter.instance.rotating import room_key_compromise, room_key_proposals, room_key_show, room_keys
from trustcenter.messages import api
from trustcenter.registrar import site_keys
from trustcenter.registrar.rotating import (
    key_compromise,
    key_proposals,
    keycare,
    rewriting,
    rotation,
    rotation_end,
    rotation_map,
)
from trustcenter.registrar.rotating import rotation_show as shown
from trustcenter.registrar.rotating import rotation_verify as verification


async def key_list(call: Call) -> Answer:
    return await room_key_show.list_keys(call.instance)


async def key_rotate(call: Call) -> Answer:
    context = call.instance.registrar
    plan = await rotation.rotate(context, call.principal, call.request_id, call.segment("domain"), call.body)
    if plan.state == "done" and plan.rotation is not None:
        await rewriting.take_up(context)
    return plan


async def domain_rotations(call: Call) -> Answer:
    return await shown.list_rotations(call.instance.registrar, call.segment("domain"), call.principal)


async def rotations(call: Call) -> Answer:
    instance = call.instance
    here = instance.registrar_room
    found = (await shown.list_rotations(here, None)).rotations if here is not None else []
    both = [*found, *await room_key_show.rotations(instance)]
    return api.Rotations(rotations=sorted(both, key=lambda one: one.started))


async def _of_room(call: Call) -> str | None:
    """The room, if the rotation is of a room's own keys, of which sites and approvers know nothing."""
    if call.principal.role != "operator":
        return None
    return await room_keys.room_of(call.instance, call.segment("rotation"))


async def _room_rotation(call: Call, room: str, *, go_on: bool) -> Answer:
    ident = call.segment("rotation")
    if go_on:
        await room_keys.resume(call.instance, call.principal, call.request_id, room, ident)
        await room_key_compromise.finish(call.instance, call.principal, call.request_id, room)
    return await room_key_show.rotation(call.instance, room, ident)


async def rotation_show(call: Call) -> Answer:
    if (room := await _of_room(call)) is not None:
        return await _room_rotation(call, room, go_on=False)
    return await shown.show(call.instance.registrar, call.segment("rotation"), call.principal)


async def rotation_resume(call: Call) -> Answer:
    if (room := await _of_room(call)) is not None:
        return await _room_rotation(call, room, go_on=True)
    context, ident = call.instance.registrar, call.segment("rotation")
    await rotation.cut_over(context, call.principal.name, call.request_id, ident)
    await rewriting.take_up(context)
    return await shown.show(context, ident)


async def rotation_verify(call: Call) -> Answer:
    if (room := await _of_room(call)) is not None:
        return await _room_rotation(call, room, go_on=True)
    return await verification.ask(call.instance.registrar, call.principal, call.request_id, call.segment("rotation"))


def _dry_run(call: Call) -> bool:
    """Whether a step is only tried.

    Raises:
        UsageError: neither true nor false.
    """
    said = call.query.get("dry_run", "false")
    if said not in ("true", "false"):
        raise UsageError("true or false is needed", code="invalid_parameter", where="dry_run")
    return said == "true"


async def rotation_finalize(call: Call) -> Answer:
    if (room := await _of_room(call)) is not None:
        return await _room_rotation(call, room, go_on=not _dry_run(call))
    return await _end(call, rotation_end.finalize)


async def rotation_abort(call: Call) -> Answer:
    if await _of_room(call) is not None:
        raise room_keys.forward_only()
    return await _end(call, rotation_end.abort)


async def rotation_roll_back(call: Call) -> Answer:
    if await _of_room(call) is not None:
        raise room_keys.forward_only()
    return await _end(call, rotation_end.roll_back)


async def _end(call: Call, step: Callable[..., Awaitable[object]]) -> Answer:
    """End a rotation, or try to; the rotation as it is afterwards."""
    context, ident = call.instance.registrar, call.segment("rotation")
    await step(context, call.principal, call.request_id, ident, dry_run=_dry_run(call))
    return await shown.show(context, ident)


async def rotation_map_sealed(call: Call) -> Answer:
    party = call.query.get("party") or (f"site:{call.principal.name}" if call.principal.is_site else "")
    if not party:
        raise UsageError(
            "name the party", code="invalid_parameter", hint="site:NAME or recipient:STUDY/NAME", where="party"
        )
    return Lines(
        rotation_map.sealed(call.instance.registrar, call.principal, call.request_id, call.segment("rotation"), party),
        raw=True,
    )


async def rotation_acknowledge(call: Call) -> Answer:
    return await rotation_map.acknowledge(
        call.instance.registrar, call.principal, call.request_id, call.segment("rotation"), call.body
    )


async def site_key_set(call: Call) -> Answer:
    return await site_keys.set_site_key(
        call.instance.registrar, call.principal, call.request_id, call.segment("site"), call.body
    )


async def site_key_show(call: Call) -> Answer:
    return await site_keys.site_key(call.instance.registrar, call.segment("site"), call.principal)


async def propose(call: Call) -> Answer:
    if call.body.room is not None:
        return await room_key_proposals.propose(call.instance, call.principal, call.request_id, call.body)
    return await key_proposals.propose(call.instance.registrar, call.principal, call.request_id, call.body)


async def proposal_list(call: Call) -> Answer:
    here = call.instance.registrar_room
    found = (await key_proposals.listed(here)).proposals if here is not None else []
    both = [*found, *await room_key_proposals.listed(call.instance)]
    return api.KeyProposals(proposals=sorted(both, key=lambda one: one.created))


async def proposal_show(call: Call) -> Answer:
    found = await room_key_proposals.find(call.instance, call.segment("proposal"))
    return found or await key_proposals.show(call.instance.registrar, call.segment("proposal"))


async def proposal_approve(call: Call) -> Answer:
    ident = call.segment("proposal")
    if await room_key_proposals.find(call.instance, ident) is not None:
        return await room_key_proposals.approve(call.instance, call.principal, call.request_id, ident, call.body)
    return await key_proposals.approve(call.instance.registrar, call.principal, call.request_id, ident, call.body)


def _on_domain(job: Callable[..., Awaitable[Answer]]) -> Handler:
    async def handler(call: Call) -> Answer:
        return await job(call.instance.registrar, call.principal, call.request_id, call.segment("domain"), call.body)

    return handler


async def room_rotate(call: Call) -> Answer:
    return await room_keys.rotate(call.instance, call.principal, call.request_id, call.segment("room"), call.body)


async def room_compromise(call: Call) -> Answer:
    return await room_key_compromise.compromise(
        call.instance, call.principal, call.request_id, call.segment("room"), call.body
    )


async def room_schedule(call: Call) -> Answer:
    return await room_key_show.schedule(call.instance, call.principal, call.request_id, call.segment("room"), call.body)


async def due(call: Call) -> Answer:
    return api.KeysDue(keys=await room_key_show.all_due(call.instance))


_KEYS = "/v1/domains/{domain}/keys"
_ROTATION = "/v1/rotations/{rotation}"
_PROPOSAL = "/v1/key-proposals/{proposal}"
ROUTES = (
    Route("GET", "/v1/keys", "listKeys", OPERATOR, "Key versions and their states", key_list, None, api.Keys),
    Route("GET", "/v1/keys/due", "keysDue", OPERATOR, "Scheduled keys, the most urgent first", due, None, api.KeysDue),
    Route(
        "POST", _KEYS + "/rotate", "rotateKey", OPERATOR, "Plan, prepare or carry out a key rotation",
        key_rotate, api.RotateRequest, api.RotationPlan,
    ),
    Route(
        "POST", _KEYS + "/suspend", "suspendKey", OPERATOR, "Stop issue; what exists still resolves",
        _on_domain(keycare.suspend), api.KeyAct, api.KeyVersion,
    ),
    Route(
        "POST", _KEYS + "/activate", "activateKey", OPERATOR, "Cut over to a prepared version, or end a suspension",
        _on_domain(keycare.activate), api.KeyAct, api.KeyVersion,
    ),
    Route(
        "POST", _KEYS + "/deactivate", "deactivateKey", OPERATOR, "End the use of a version for good",
        _on_domain(keycare.deactivate), api.KeyAct, api.KeyVersion,
    ),
    Route(
        "POST", _KEYS + "/compromise", "compromiseKey", OPERATOR, "A key leaked: stop issue, open the next, report",
        _on_domain(key_compromise.compromise), api.KeyCompromise, api.CompromiseReport,
    ),
    Route(
        "PUT", _KEYS + "/schedule", "scheduleKey", OPERATOR, "How often a key is to be rotated",
        _on_domain(keycare.schedule), api.KeySchedule, api.KeysDue,
    ),
    Route(
        "POST", "/v1/rooms/{room}/keys/rotate", "rotateRoomKeys", OPERATOR, "Plan or carry out a rotation of a room's own keys",
        room_rotate, api.RoomRotateRequest, api.RoomRotationPlan,
    ),
    Route(
        "POST", "/v1/rooms/{room}/keys/compromise", "compromiseRoomKeys", OPERATOR, "A room's own keys leaked: exchange them, report",
        room_compromise, api.RoomKeyCompromise, api.CompromiseReport,
    ),
    Route(
        "PUT", "/v1/rooms/{room}/keys/schedule", "scheduleRoomKeys", OPERATOR, "How often a room's own keys are to be rotated",
        room_schedule, api.RoomKeySchedule, api.KeysDue,
    ),
    Route("GET", "/v1/rotations", "listRotations", OPERATOR, "All rotations", rotations, None, api.Rotations),
    Route(
        "GET", "/v1/domains/{domain}/rotations", "listDomainRotations", SITE | OPERATOR, "The rotations of a domain",
        domain_rotations, None, api.Rotations,
    ),
    Route(
        "GET", _ROTATION, "showRotation", SITE | OPERATOR | APPROVER, "How far a rotation is",
        rotation_show, None, api.Rotation,
    ),
    Route("POST", _ROTATION + "/resume", "resumeRotation", OPERATOR, "Go on with a rotation", rotation_resume, None, api.Rotation),
    Route(
        "POST", _ROTATION + "/verify", "verifyRotation", OPERATOR, "Check the whole map, log its keyed hash",
        rotation_verify, None, api.Rotation,
    ),
    Route(
        "POST", _ROTATION + "/finalize", "finalizeRotation", OPERATOR, "Deactivate the old key; everybody has its map",
        rotation_finalize, None, api.Rotation, query=("dry_run",),
    ),
    Route("POST", _ROTATION + "/abort", "abortRotation", OPERATOR, "End a rotation before its cut-over", rotation_abort, None, api.Rotation, query=("dry_run",)),
    Route(
        "POST", _ROTATION + "/rollback", "rollBackRotation", OPERATOR, "Make the old key the active one again",
        rotation_roll_back, None, api.Rotation, query=("dry_run",),
    ),
    Route(
        "GET", _ROTATION + "/map", "rotationMap", SITE | OPERATOR, "The map old to new, sealed to a party",
        rotation_map_sealed, None, "bytes", query=("party",), kind="translate",
    ),
    Route(
        "POST", _ROTATION + "/acknowledgements", "acknowledgeMap", SITE | OPERATOR, "A party has its map",
        rotation_acknowledge, api.MapAcknowledge, api.Rotation,
    ),
    Route("PUT", "/v1/sites/{site}/key", "setSiteKey", OPERATOR, "Register a site's public key", site_key_set, api.SiteKeySet, api.SiteKey),
    Route("GET", "/v1/sites/{site}/key", "showSiteKey", SITE | OPERATOR, "A site's public key", site_key_show, None, api.SiteKey),
    Route(
        "POST", "/v1/key-proposals", "proposeForKey", OPERATOR, "Propose what takes two people",
        propose, api.KeyPropose, api.KeyProposal, status=201,
    ),
    Route(
        "GET", "/v1/key-proposals", "listKeyProposals", OPERATOR | APPROVER, "Proposals, oldest first",
        proposal_list, None, api.KeyProposals,
    ),
    Route(
        "GET", _PROPOSAL, "showKeyProposal", OPERATOR | APPROVER, "A proposal and what is to be signed",
        proposal_show, None, api.KeyProposal,
    ),
    Route(
        "POST", _PROPOSAL + "/approvals", "approveForKey", APPROVER, "Sign a proposal; it is carried out",
        proposal_approve, api.Approval, api.KeyProposal,
    ),
)  # fmt: skip
