"""The chat of the original application; nothing in it knows of the Go side."""

import hashlib
import json
import re

from asgiref.sync import async_to_sync
from channels.generic.websocket import WebsocketConsumer


def group(room):
    """The group of a room. Django's groups need names in ASCII; Go makes the
    same of other names by channels.SafeName."""
    name = "chat_" + room
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,99}", name):
        return name
    return re.sub(r"[^A-Za-z0-9_.-]", "", name)[:64] + "." + hashlib.sha256(name.encode()).hexdigest()[:32]


class ChatConsumer(WebsocketConsumer):
    def connect(self):
        self.group = group(self.scope["url_route"]["kwargs"]["room_name"])
        async_to_sync(self.channel_layer.group_add)(self.group, self.channel_name)
        self.accept()

    def disconnect(self, code):
        async_to_sync(self.channel_layer.group_discard)(self.group, self.channel_name)

    def receive(self, text_data):
        message = json.loads(text_data)["message"]
        async_to_sync(self.channel_layer.group_send)(self.group, {"type": "chat.message", "message": message})

    def chat_message(self, event):
        self.send(text_data=json.dumps({"message": event["message"]}))
