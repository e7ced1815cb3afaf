"""An asyncio client for Segmind's chat completions: very many at once, never more than the account can pay.

async with SegmindClient() as client:                       # SEGMIND_API_KEY
    reply = await client.chat("Tell me a joke on dogs.")
    async with client.fan_out(prompts, floor=1) as outcomes:
        async for outcome in outcomes: ...
"""

from __future__ import annotations

import logging

from ._fanout import FanOut
from ._version import __version__
from .client import SegmindClient
from .config import Limits, RetryPolicy, Timeouts
from .errors import (
    AccessError,
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    CreditsError,
    ErrorDetails,
    InsufficientCreditsError,
    InvalidRequestError,
    InvalidResponseError,
    ModelRetiredError,
    NotFoundError,
    OutputError,
    OutputTruncatedError,
    OutputValidationError,
    PermissionDeniedError,
    RateLimitError,
    RefusalError,
    RequestError,
    SegmindError,
    ServerError,
    SpendLimitError,
    TransientError,
)
from .jobs import JobOptions, JobReport, JobRun, JournalError
from .jobs.standing import Standing
from .messages import assistant, image, system, user
from .models import (
    Balance,
    Change,
    ChatCompletion,
    ChatRequest,
    FanOutReport,
    Outcome,
    Statistics,
    Status,
    ToolCall,
    Usage,
)

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AccessError",
    "AuthenticationError",
    "BadRequestError",
    "Balance",
    "BudgetExceededError",
    "Change",
    "ChatCompletion",
    "ChatRequest",
    "ClientClosedError",
    "ConfigurationError",
    "CreditsError",
    "ErrorDetails",
    "FanOut",
    "FanOutReport",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "InvalidResponseError",
    "JobOptions",
    "JobReport",
    "JobRun",
    "JournalError",
    "Limits",
    "ModelRetiredError",
    "NotFoundError",
    "Outcome",
    "OutputError",
    "OutputTruncatedError",
    "OutputValidationError",
    "PermissionDeniedError",
    "RateLimitError",
    "RefusalError",
    "RequestError",
    "RetryPolicy",
    "SegmindClient",
    "SegmindError",
    "ServerError",
    "SpendLimitError",
    "Standing",
    "Statistics",
    "Status",
    "Timeouts",
    "ToolCall",
    "TransientError",
    "Usage",
    "__version__",
    "assistant",
    "image",
    "system",
    "user",
]

# A library is silent until its user wants to hear it.
logging.getLogger("segmind_async").addHandler(logging.NullHandler())
