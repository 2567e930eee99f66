"""What daphne serves: daphne asgi:application."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  Django must be set up first
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import re_path  # noqa: E402

from consumers import ChatConsumer  # noqa: E402

application = ProtocolTypeRouter({
    "http": django,
    "websocket": AllowedHostsOriginValidator(URLRouter([
        re_path(r"^ws/chat/(?P<room_name>[^/]+)/$", ChatConsumer.as_asgi()),
    ])),
})
