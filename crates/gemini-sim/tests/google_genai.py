"""Google's own client against the simulator: python google_genai.py BASE_URL SECRET OTHER_SECRET FREE_SECRET.

The first two keys allow two generations a minute, the third any number. Prints "ok" if everything is as Google's client expects it.
"""

import sys

import pydantic
from google import genai
from google.genai import errors, types

base_url, secret, other_secret, free_secret = sys.argv[1:]
MODEL = "gemini-flash-latest"
PROMPT = "Buy when RSI < 30, sell when RSI > 70"


def client(api_key):
    return genai.Client(api_key=api_key, http_options=types.HttpOptions(base_url=base_url))


def refusal(call):
    try:
        call()
    except errors.ClientError as error:
        return error
    raise AssertionError("the call was not refused")


google, stranger = client(secret), client("nobody's key")
other, free = client(other_secret), client(free_secret)

# generateContent, with a system instruction and a configuration
reply = google.models.generate_content(
    model=MODEL,
    contents=PROMPT,
    config=types.GenerateContentConfig(
        system_instruction="You write strategies.",
        max_output_tokens=8192,
        thinking_config=types.ThinkingConfig(thinking_level="LOW"),
    ),
)
assert "class RsiStrategy(Strategy):" in reply.text, reply.text
assert reply.candidates[0].finish_reason == types.FinishReason.STOP
assert reply.model_version == "gemini-3.8-flash", reply.model_version
assert reply.response_id
usage = reply.usage_metadata
assert usage.prompt_token_count == 15, usage
assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count, usage

# streamGenerateContent
chunks = list(google.models.generate_content_stream(model=MODEL, contents=PROMPT))
assert len(chunks) > 3, len(chunks)
assert "".join(chunk.text for chunk in chunks) == reply.text
assert [chunk.candidates[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
assert all(chunk.usage_metadata.prompt_token_count == 10 for chunk in chunks)

# JSON of a schema, read by Google's client
class Written(pydantic.BaseModel):
    code: str
    assumptions: list[str]


structured = free.models.generate_content(
    model=MODEL,
    contents=PROMPT,
    config=types.GenerateContentConfig(response_mime_type="application/json", response_schema=Written),
)
assert isinstance(structured.parsed, Written) and structured.parsed.assumptions, structured.text
compile(structured.parsed.code, "structured", "exec")

# countTokens
assert google.models.count_tokens(model=MODEL, contents=PROMPT).total_tokens == 10

# models.list over several pages, models.get
listed = [model.name for model in google.models.list(config={"page_size": 4})]
assert "models/gemini-3.8-flash" in listed and len(listed) == 9, listed
model = google.models.get(model="gemini-3.8-flash")
assert model.input_token_limit == 1_048_576 and "generateContent" in model.supported_actions, model

# a quota that is used up: code, status and the details that clients read
error = refusal(lambda: google.models.generate_content(model=MODEL, contents=PROMPT))
assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED"), error
details = {detail["@type"].rsplit(".", 1)[1]: detail for detail in error.details["error"]["details"]}
assert details["QuotaFailure"]["violations"][0]["quotaValue"] == "2", details
assert details["RetryInfo"]["retryDelay"].endswith("s"), details

# the same while streaming
error = refusal(lambda: list(google.models.generate_content_stream(model=MODEL, contents=PROMPT)))
assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED"), error

# a key that nobody has, and a model that is gone
error = refusal(lambda: stranger.models.generate_content(model=MODEL, contents=PROMPT))
assert (error.code, error.status) == (400, "INVALID_ARGUMENT"), error
assert error.details["error"]["details"][0]["reason"] == "API_KEY_INVALID", error.details
error = refusal(lambda: other.models.generate_content(model="gemini-2.0-flash", contents=PROMPT))
assert (error.code, error.status) == (404, "NOT_FOUND"), error

# another project is not affected
assert other.models.generate_content(model=MODEL, contents=PROMPT).text

# what it writes is Python, whatever is asked for
for wish in ["RSI", "20-day EMA over 50-day EMA", "SMA cross", "Bollinger bands", "MACD(8, 21, 5)", "anything"]:
    text = free.models.generate_content(model=MODEL, contents=wish).text
    compile(text.split("```python\n")[1].split("```")[0], wish, "exec")

print("ok")
