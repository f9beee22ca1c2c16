"""Clearing: what waits for a steward, answers, postponing, pairs by hand, questions to sites."""

from __future__ import annotations

from trustcenter.http.calls import SITE, STEWARD, Answer, Call, Route
from trustcenter.messages import api
from trustcenter.registrar.doubts import clearing, clearing_questions, work_list


async def waiting(call: Call) -> Answer:
    return await work_list.work_list(call.instance.registrar, call.principal, call.segment("study"))


async def ask(call: Call) -> Answer:
    return await clearing.ask(
        call.instance.registrar, call.principal, call.request_id, call.segment("study"), call.body
    )


async def answer(call: Call) -> Answer:
    study, task = call.segment("study"), call.segment("task")
    return await clearing.answer(call.instance.registrar, call.principal, call.request_id, study, task, call.body)


async def retract(call: Call) -> Answer:
    study, task = call.segment("study"), call.segment("task")
    return await clearing.retract(call.instance.registrar, call.principal, call.request_id, study, task)


async def postpone(call: Call) -> Answer:
    study, task = call.segment("study"), call.segment("task")
    return await clearing.postpone(call.instance.registrar, call.principal, call.request_id, study, task, call.body)


async def ask_sites(call: Call) -> Answer:
    context, study = call.instance.registrar, call.segment("study")
    return await clearing_questions.ask(context, call.principal, call.request_id, study, call.body)


async def questions(call: Call) -> Answer:
    return await clearing_questions.questions(call.instance.registrar, call.principal, call.segment("study"))


async def reply(call: Call) -> Answer:
    context, study = call.instance.registrar, call.segment("study")
    return await clearing_questions.reply(context, call.principal, call.request_id, study, call.body)


_QUESTIONS = "/v1/studies/{study}/questions"
_TASKS = "/v1/studies/{study}/clearing"
ROUTES = (
    Route("GET", _TASKS, "listClearing", STEWARD, "Doubtful pairs that wait for the caller", waiting, None, api.ClearingTasks),
    Route(
        "POST", _TASKS, "askClearing", STEWARD, "Make a task of a pair: to join it or to split it",
        ask, api.ClearingAsk, api.ClearingTask, status=201,
    ),
    Route(
        "POST", _TASKS + "/{task}/answers", "answerClearing", STEWARD, "Decide a doubtful pair",
        answer, api.ClearingAnswer, api.ClearingTask,
    ),
    Route(
        "DELETE", _TASKS + "/{task}/answers", "retractClearing", STEWARD, "Take back the own answer",
        retract, None, api.ClearingTask,
    ),
    Route(
        "POST", _TASKS + "/{task}/postpone", "postponeClearing", STEWARD, "Hide a task until a day",
        postpone, api.ClearingPostpone, api.ClearingTask,
    ),
    Route(
        "POST", _TASKS + "/questions", "askSites", STEWARD, "Ask the sites about their own records, among others",
        ask_sites, api.ClearingAskSites, api.ClearingRound, status=201,
    ),
    Route("GET", _QUESTIONS, "siteQuestions", SITE, "Own records to look at", questions, None, api.SiteQuestions),
    Route("POST", _QUESTIONS, "siteReplies", SITE, "What was found of them", reply, api.SiteReplies, api.SiteReplied),
)  # fmt: skip
