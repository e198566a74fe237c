"""Calls an API with its vendor's own client and tells what that client raised.

    .tools/sdk/bin/python -I tests/edge/sdk/clients.py openai < calls.json > outcomes.json

calls.json: {"base_url": …, "calls": [{"key": …, "from": source address, "second_key": … or null, "stream": bool}]}
"""

import json
import sys

import httpx2

# A client that hangs is a failure of the test, not of its patience.
TIMEOUT = 30.0


def http_client(call):
    """The clients' own HTTP library, from the source address that the call names."""
    return httpx2.Client(transport=httpx2.HTTPTransport(local_address=call["from"]), timeout=TIMEOUT)


def second_key(call):
    """A browser's way to show a key to the realtime API: by themselves none of these clients sends two."""
    return {"sec-websocket-protocol": "openai-insecure-api-key." + call["second_key"]} if call["second_key"] else {}


def openai(base_url, call):
    import openai

    client = openai.OpenAI(
        base_url=base_url + "/v1",
        api_key=call["key"],
        max_retries=0,
        http_client=http_client(call),
        default_headers=second_key(call),
    )
    messages = [{"role": "user", "content": "hello"}]
    return client.chat.completions.create(model="gpt-4o", messages=messages, stream=call["stream"])


def anthropic(base_url, call):
    import anthropic

    client = anthropic.Anthropic(
        base_url=base_url,
        api_key=call["key"],
        max_retries=0,
        http_client=http_client(call),
        default_headers=second_key(call),
    )
    messages = [{"role": "user", "content": "hello"}]
    return client.messages.create(model="claude-sonnet-4-5", max_tokens=16, messages=messages, stream=call["stream"])


def google(base_url, call):
    from google import genai
    from google.genai import types

    options = types.HttpOptions(
        base_url=base_url,
        headers=second_key(call),
        httpx_client=http_client(call),
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    client = genai.Client(api_key=call["key"], vertexai=False, http_options=options)
    if call["stream"]:
        return list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"))
    return client.models.generate_content(model="gemini-2.5-flash", contents="hello")


# What a program that catches the error can read from it.
FIELDS = ["status_code", "code", "type", "param", "message", "api_message", "error_code", "status", "request_id", "body"]


def outcome(send, base_url, call):
    try:
        send(base_url, call)
    except Exception as error:  # noqa: BLE001  whatever it is, the test says whether it is the right one
        names = [f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(error).__mro__]
        details = error.details if isinstance(getattr(error, "details", None), dict) else None
        fields = {name: getattr(error, name, None) for name in FIELDS}
        return {"raised": names, "text": str(error), "details": details, **fields}
    return {"raised": []}


def main():
    send = {"openai": openai, "anthropic": anthropic, "google": google}[sys.argv[1]]
    order = json.load(sys.stdin)
    json.dump([outcome(send, order["base_url"], call) for call in order["calls"]], sys.stdout)


main()
