"""The page of a room, and a view that speaks in it:

curl -d message=hello http://…/chat/lobby/say/
"""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST
from django.views.generic import TemplateView

from consumers import group


@require_POST
def say(request, room):
    event = {"type": "chat.message", "message": request.POST["message"]}
    async_to_sync(get_channel_layer().group_send)(group(room), event)
    return HttpResponse(status=204)


urlpatterns = [
    path("chat/<str:room>/", TemplateView.as_view(template_name="room.html")),
    path("chat/<str:room>/say/", say),
]
