"""Answers about requests that cannot be met: one sentence under ``detail``, whatever is wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from common.errors import UserError
from common.text_files import without_surrogates
from config.resolve import shortened

Problem = Callable[[Sequence[Mapping[str, Any]]], tuple[int, str]]


def add_problems(
    app: FastAPI, example: str, problem: Problem | None = None, statuses: Mapping[type[UserError], int] = {}
) -> None:
    """Answer every error of an application in one sentence.

    Args:
        app: which is changed.
        example: what a body should be, said about one that cannot be read.
        problem: status and sentence of pydantic's errors; :func:`problem_of` by default.
        statuses: of the errors that mean another than 422; with 429 clients are asked to come back in a second.
    """

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> JSONResponse:
        number, sentence = problem(error.errors()) if problem else problem_of(error.errors(), example)
        return JSONResponse({"detail": without_surrogates(sentence)}, number)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        # this 400 is FastAPI's, about a body that is no UTF-8, or nested too deeply
        unread = error.status_code == 400
        sentence = f"the body cannot be read as JSON in UTF-8; {example}" if unread else error.detail
        return JSONResponse({"detail": sentence}, error.status_code, headers=error.headers)

    @app.exception_handler(UserError)
    async def unusable(_: Request, error: UserError) -> JSONResponse:
        number = next((code for kind, code in statuses.items() if isinstance(error, kind)), 422)
        headers = {"retry-after": "1"} if number == 429 else None
        return JSONResponse({"detail": without_surrogates(str(error))}, number, headers=headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        sentence = f"the server failed ({type(error).__name__}); its log has the reason"
        return JSONResponse({"detail": sentence}, 500)


def problem_of(errors: Sequence[Mapping[str, Any]], example: str) -> tuple[int, str]:
    """Return status and sentence for pydantic's errors: 400 where the body is none, 422 for values of other kinds."""
    first = errors[0]
    kind, where = first["type"], [str(part) for part in first["loc"][1:]]  # behind body, query or path
    if kind == "json_invalid":
        return 400, f"the body is no JSON ({first['ctx']['error']}); {example}"
    if kind == "missing":
        return 400, f"found no {'.'.join(where) or 'body'}; {example}"
    if not where:
        return 400, f"found a body of another type; {example}"
    return 422, f"{'.'.join(where)}: found {shortened(first.get('input'))}; {first['msg'].lower()}"
