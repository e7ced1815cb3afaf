"""An asyncio client for Segmind's chat completions: very many at once, never more than the account can pay.

async with SegmindClient() as client:                       # SEGMIND_API_KEY
    reply = await client.chat("Tell me a joke about dogs.")
    async with client.fan_out(prompts, floor=1) as outcomes:
        async for outcome in outcomes: ...
"""

from __future__ import annotations

# isort: off
from ._process import early_interrupt as _  # noqa: F401  # before all others: see there
from ._process import early_sign as __  # noqa: F401

# isort: on
import logging

from ._agents.agent import Agent, AgentStep
from ._hooks.trace import current_trace, trace
from ._sending.fan_out import FanOut
from ._text.wait_reasons import Wait, WaitReason
from ._version import __version__
from .agent_result import AgentResult, ToolRun
from .client import SegmindClient
from .config import Limits, RetryPolicy, Timeouts
from .errors import (
    AccessError,
    AgentLimitError,
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
    ToolsNotSupportedError,
    TransientError,
)
from .hooks import (
    AgentEnded,
    AgentStarted,
    AttemptEnded,
    BalanceSeen,
    CallEnded,
    CallStarted,
    Change,
    Hooks,
    RetryPlanned,
    ToolEnded,
    ToolStarted,
    Waiting,
)
from .jobs import JobOptions, JobProgress, JobReport, JobRun, JournalError, KeyUse
from .messages import assistant, document, image, system, tool_result, user
from .models import (
    Balance,
    ChatCompletion,
    ChatRequest,
    FanOutReport,
    KeyStatistics,
    Outcome,
    Statistics,
    Status,
    StopReason,
    ToolCall,
    Usage,
)
from .tokens import TokenCount, count_tokens
from .tools import Tool, tool

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AccessError",
    "Agent",
    "AgentEnded",
    "AgentLimitError",
    "AgentResult",
    "AgentStarted",
    "AgentStep",
    "AttemptEnded",
    "AuthenticationError",
    "BadRequestError",
    "Balance",
    "BalanceSeen",
    "BudgetExceededError",
    "CallEnded",
    "CallStarted",
    "Change",
    "ChatCompletion",
    "ChatRequest",
    "ClientClosedError",
    "ConfigurationError",
    "CreditsError",
    "ErrorDetails",
    "FanOut",
    "FanOutReport",
    "Hooks",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "InvalidResponseError",
    "JobOptions",
    "JobProgress",
    "JobReport",
    "JobRun",
    "JournalError",
    "KeyStatistics",
    "KeyUse",
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
    "RetryPlanned",
    "RetryPolicy",
    "SegmindClient",
    "SegmindError",
    "ServerError",
    "SpendLimitError",
    "Statistics",
    "Status",
    "StopReason",
    "Timeouts",
    "TokenCount",
    "Tool",
    "ToolCall",
    "ToolEnded",
    "ToolRun",
    "ToolStarted",
    "ToolsNotSupportedError",
    "TransientError",
    "Usage",
    "Wait",
    "WaitReason",
    "Waiting",
    "__version__",
    "assistant",
    "count_tokens",
    "current_trace",
    "document",
    "image",
    "system",
    "tool",
    "tool_result",
    "trace",
    "user",
]

# A library is silent until its user wants to hear it.
logging.getLogger("segmind_async").addHandler(logging.NullHandler())
