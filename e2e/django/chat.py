"""The original chat on Django Channels, with a channel layer that others share.

LAYER is the class of the layer and REDIS its server. POST /send/<room>/ sends
the JSON object of its body to the room's group, as any process of the site
could; daphne serves chat:application.
"""

import hashlib
import json
import os
import re

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": os.environ["LAYER"], "CONFIG": {"hosts": [os.environ["REDIS"]]}}},
)
django.setup()

from asgiref.sync import async_to_sync  # noqa: E402  Django must be set up first
from channels.generic.websocket import WebsocketConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path, re_path  # noqa: E402


def group(room):
    """The group of a room, as in docs/protocol.md."""
    name = "chat_" + room
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,99}", name):
        return name
    return re.sub(r"[^A-Za-z0-9_.-]", "", name)[:64] + "." + hashlib.sha256(name.encode()).hexdigest()[:32]


class ChatConsumer(WebsocketConsumer):
    """The original consumer: it has no handler but chat_message."""

    def connect(self):
        self.room_group_name = group(self.scope["url_route"]["kwargs"]["room_name"])
        async_to_sync(self.channel_layer.group_add)(self.room_group_name, self.channel_name)
        self.accept()

    def disconnect(self, close_code):
        async_to_sync(self.channel_layer.group_discard)(self.room_group_name, self.channel_name)

    def receive(self, text_data):
        message = json.loads(text_data)["message"]
        async_to_sync(self.channel_layer.group_send)(self.room_group_name, {"type": "chat_message", "message": message})

    def chat_message(self, event):
        self.send(text_data=json.dumps({"message": event["message"]}))


async def send(request, room):
    await get_channel_layer().group_send(group(room), json.loads(request.body))
    return HttpResponse(status=204)


urlpatterns = [path("send/<str:room>/", send)]

application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "websocket": URLRouter([re_path(r"^ws/chat/(?P<room_name>[^/]+)/$", ChatConsumer.as_asgi())]),
})
