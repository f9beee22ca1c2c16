"""Clearing: what waits for a steward, answers, postponing, pairs by hand."""

from __future__ import annotations

from trustcenter.messages import api
from trustcenter.registrar import clearing

from .calls import STEWARD, Answer, Call, Route


async def work_list(call: Call) -> Answer:
    return await clearing.work_list(call.instance.registrar, call.principal, call.segment("study"))


async def ask(call: Call) -> Answer:
    return await clearing.ask(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def answer(call: Call) -> Answer:
    study, task = call.segment("study"), call.segment("task")
    return await clearing.answer(call.instance.registrar, call.principal, call.request_id, study, task, call.body)


async def postpone(call: Call) -> Answer:
    study, task = call.segment("study"), call.segment("task")
    return await clearing.postpone(call.instance.registrar, call.principal, call.request_id, study, task, call.body)


_TASKS = "/v1/studies/{study}/clearing"
ROUTES = (
    Route("GET", _TASKS, "listClearing", STEWARD, "Doubtful pairs that wait for the caller", work_list, None, api.ClearingTasks),
    Route(
        "POST", _TASKS, "askClearing", STEWARD, "Make a task of a pair: to join it or to split it",
        ask, api.ClearingAsk, api.ClearingTask, status=201,
    ),
    Route(
        "POST", _TASKS + "/{task}/answers", "answerClearing", STEWARD, "Decide a doubtful pair",
        answer, api.ClearingAnswer, api.ClearingTask,
    ),
    Route(
        "POST", _TASKS + "/{task}/postpone", "postponeClearing", STEWARD, "Hide a task until a day",
        postpone, api.ClearingPostpone, api.ClearingTask,
    ),
)  # fmt: skip
