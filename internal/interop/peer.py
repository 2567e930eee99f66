"""The Django side of the tests: channel layers of channels_redis, called for by
JSON lines (see parts.PythonPeer). Bytes are {"bytes": base64} in both directions.
"""
import asyncio
import base64
import json
import logging
import resource
import sys
import threading

import msgpack
import redis
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

layers = {}  # by name
received = {}  # by channel, what its listener got
listeners = {}  # by channel, the task
records = []  # what channels_redis logged
failures = []  # what its receivers raised


class Records(logging.Handler):
    def emit(self, record):
        records.append("%s %s" % (record.levelname, record.getMessage()))


logging.getLogger("channels_redis").addHandler(Records())
logging.getLogger("channels_redis").setLevel(logging.DEBUG)


def revive(value):
    if isinstance(value, dict):
        if set(value) == {"bytes"}:
            return base64.b64decode(value["bytes"])
        return {k: revive(v) for k, v in value.items()}
    if isinstance(value, list):
        return [revive(v) for v in value]
    return value


def dry(value):
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {k: dry(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [dry(v) for v in value]
    return value


async def open_(layer, kind, options):
    kinds = {"core": RedisChannelLayer, "pubsub": RedisPubSubChannelLayer}
    layers[layer] = kinds[kind](**options)


async def new_channel(layer):
    return await layers[layer].new_channel()


async def group_add(layer, group, channel):
    await layers[layer].group_add(group, channel)


async def group_discard(layer, group, channel):
    await layers[layer].group_discard(group, channel)


async def send(layer, channel, message):
    await layers[layer].send(channel, message)


async def group_send(layer, group, message):
    await layers[layer].group_send(group, message)


async def flush(layer):
    await layers[layer].flush()


async def receive(layer, channel, timeout):
    try:
        return await asyncio.wait_for(layers[layer].receive(channel), timeout)
    except asyncio.TimeoutError:
        return None


async def listen(layer, channel):
    """Receives from a channel for good, as a consumer does, into received."""
    received[channel] = []

    async def run():
        while True:
            try:
                received[channel].append(await layers[layer].receive(channel))
            except asyncio.CancelledError:
                raise
            except Exception as e:
                failures.append("%s: %s" % (type(e).__name__, e))
                await asyncio.sleep(0.05)

    listeners[channel] = asyncio.ensure_future(run())


async def forget(channel):
    """Ends a listener, as a consumer ends that was disconnected."""
    listeners[channel].cancel()
    await asyncio.gather(listeners.pop(channel), return_exceptions=True)


async def got(channel):
    return received[channel]


async def heard():
    """How much each listener got, and what went wrong."""
    return {
        "counts": {c: len(m) for c, m in received.items()},
        "records": records,
        "failures": failures,
    }


async def burst(layer, name, start, count, group=None, channel=None, pause=0):
    """Sends numbered messages, one after the other; failed are the numbers of
    those that raised."""
    failed = []
    for n in range(start, start + count):
        message = {"type": "test.event", "sender": name, "n": n}
        try:
            if group is not None:
                await layers[layer].group_send(group, message)
            else:
                await layers[layer].send(channel, message)
        except Exception as e:
            failed.append([n, "%s: %s" % (type(e).__name__, e)])
        if pause:
            await asyncio.sleep(pause)
    return failed


async def sends(layer, channels):
    """Sends one message to each of many channels."""
    for c in channels:
        await layers[layer].send(c, {"type": "test.event", "to": c})


async def command(url, args):
    """Runs any Redis command; what is {"msgpack": x} becomes its encoding."""
    def flat(a):
        if isinstance(a, dict) and "msgpack" in a:
            prefix = base64.b64decode(a.get("prefix", ""))
            return prefix + msgpack.packb(revive(a["msgpack"]), use_bin_type=True)
        return revive(a)

    with redis.Redis.from_url(url) as r:
        return dry(r.execute_command(*[flat(a) for a in args]))


async def measure(layer, what, count, sockets):
    """Processor seconds of this process for count times one thing: send to a
    channel and receive, or group_send to so many local channels that receive."""
    at = layers[layer]
    group = "measured"
    channels = [await at.new_channel() for _ in range(sockets)]
    if what == "group_send":
        for c in channels:
            await at.group_add(group, c)
    message = {"type": "chat.message", "message": "x" * 64}

    async def take(c, n):
        for _ in range(n):
            await at.receive(c)

    async def turn(n):
        for _ in range(n):
            takers = [asyncio.ensure_future(take(c, 1)) for c in channels]
            await asyncio.sleep(0)
            if what == "group_send":
                await at.group_send(group, message)
            else:
                await at.send(channels[0], message)
            await asyncio.gather(*takers)

    await turn(3)
    before = resource.getrusage(resource.RUSAGE_SELF)
    begin = asyncio.get_running_loop().time()
    await turn(count)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": asyncio.get_running_loop().time() - begin,
    }


calls = {f.__name__.rstrip("_"): f for f in (
    open_, new_channel, group_add, group_discard, send, group_send, flush, receive,
    listen, forget, got, heard, burst, sends, command, measure)}


async def answer(question):
    reply = {"id": question["id"]}
    try:
        reply["result"] = dry(await calls[question["call"]](**revive(question["args"] or {})))
    except Exception as e:
        reply["error"] = "%s: %s" % (type(e).__name__, e)
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


async def main():
    loop = asyncio.get_running_loop()
    questions = asyncio.Queue()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(questions.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(questions.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    tasks = set()
    while True:
        question = await questions.get()
        if question is None:
            return
        task = asyncio.ensure_future(answer(question))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
